//! The table as `/proc/net/nf_conntrack` would show it. Lines come in the order
//! of the table's slots, as the kernel's come in that of its hash: none that
//! means anything.

use std::io::{self, Write};

use tidegate_gateway::replay::Replay;
use tidegate_gateway::text::{ProcExpectation, ProcLine};

/// Writes the table as it is now.
pub(crate) fn write(out: &mut impl Write, replay: &Replay) -> io::Result<()> {
    let now = replay.now();
    replay
        .engine()
        .flows()
        .try_for_each(|(_, flow)| writeln!(out, "{}", ProcLine { flow: &flow, now }))
}

/// Writes the expectations, oldest first, as `/proc/net/nf_conntrack_expect` would.
pub(crate) fn write_expectations(out: &mut impl Write, replay: &Replay) -> io::Result<()> {
    let now = replay.now();
    replay
        .engine()
        .expectations()
        .try_for_each(|expectation| writeln!(out, "{}", ProcExpectation { expectation, now }))
}
