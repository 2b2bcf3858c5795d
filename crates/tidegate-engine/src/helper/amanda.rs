//! Amanda: the server's answer names the ports of up to four connections.
//!
//! Linux: `nf_conntrack_amanda.c`, `nf_nat_amanda.c`.

use alloc::string::ToString;

use tidegate_wire::proto;

use super::hearing::toward;
use super::text::{find, number};
use super::{Hearing, Outcome};
use crate::tuple::Direction;

const CONNECT: &[u8] = b"CONNECT ";
const STREAMS: [&[u8]; 4] = [b"DATA ", b"MESG ", b"INDEX ", b"STATE "];
/// As many digits are looked at.
const DIGITS: usize = 5;

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    if hearing.dir == Direction::Original {
        return Ok(());
    }
    // Answers may take their time.
    let timeout = hearing.parameters().amanda_timeout.as_duration();
    hearing.flow.refresh(hearing.now, timeout);
    let data = hearing.message.data();
    let Some(start) = find(data, CONNECT).map(|at| at + CONNECT.len()) else { return Ok(()) };
    let Some(stop) = find(&data[start..], b"\n").map(|at| start + at) else { return Ok(()) };
    let mut outcome = Ok(());
    for word in STREAMS {
        let Some(line) = hearing.message.data().get(start..stop) else { break };
        let Some(at) = find(line, word).map(|at| at + word.len()) else { continue };
        let (port, digits) = number(&line[at..line.len().min(at + DIGITS)]);
        let port = port as u16;
        if port == 0 {
            break;
        }
        match expect(hearing, port, start + at..start + at + digits) {
            // With NAT the last one decides.
            Ok(()) if hearing.is_translated() => outcome = Ok(()),
            Ok(()) => {}
            Err(fault) => outcome = Err(fault),
        }
    }
    outcome
}

fn expect(hearing: &mut Hearing<'_, '_>, port: u16, text: core::ops::Range<usize>) -> Outcome {
    let orig = hearing.flow.orig;
    let mut expectation = hearing.announce(0, &toward(Some(orig.src), orig.dst, port, proto::TCP));
    if !hearing.is_translated() {
        return hearing.expect(&expectation);
    }
    let port = hearing.expect_following(&mut expectation, Direction::Original, port)?;
    hearing
        .replace(text, port.to_string().as_bytes())
        .inspect_err(|_| hearing.unexpect(&expectation))
}
