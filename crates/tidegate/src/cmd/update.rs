//! `tidegate update`: flows that meet conditions get another timeout, mark, label; first they are only shown.
//!
//! Unlike conntrack(8), whose options say both, what a flow must be and what it shall become are told apart: so those
//! can be chosen by state or by the rest of their lives.

use std::io::{self, BufWriter};

use tidegate_wire::netlink::Writer;
use tidegate_wire::netlink::conntrack::{Attribute, Help, ProtoInfo, TcpInfo, message};
use tidegate_wire::netlink::frame::Subsystem;

use super::Failure;
use super::change::{Change, family_of, flows_in, write_identity};
use super::get;
use crate::client::labels::BITS;
use crate::client::{Flow, Request, Table, names};
use crate::flags::table::UpdateArgs;
use crate::flags::tuple::ChangeArgs;
use crate::message as say;
use crate::present::time_of_day;
use crate::render::flow::Printer;

/// Runs the command.
pub(crate) fn run(args: &UpdateArgs) -> Result<(), Failure> {
    let style = args.output.style().map_err(Failure::Usage)?;
    check(&args.change).map_err(Failure::Usage)?;
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    let filter = args.filter.filter_on(&place)?;
    let change = Change { place: &place, filter: &filter, now: place.now()? };
    let mut printer = Printer::new(BufWriter::new(io::stdout().lock()), style, time_of_day());
    if !args.yes {
        change.each(|flow, _| Ok(printer.flow(flow, None)?))?;
        printer.finish()?;
        let count = printer.shown();
        say::summary(format_args!("{count} flow entries would be updated; --yes updates them."));
        return if count == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    let tally = change.apply(
        |flow| request(flow, &args.change),
        |table, updated| show(table, updated, |flow| Ok(printer.flow(flow, None)?)),
    )?;
    printer.finish()?;
    tally.report("updated")
}

fn check(change: &ChangeArgs) -> Result<(), String> {
    let ChangeArgs {
        set_timeout,
        set_mark,
        set_status,
        set_state,
        add_label,
        del_label,
        set_helper,
    } = change;
    let lists = [set_status.len(), add_label.len(), del_label.len()];
    let is_something = lists.iter().any(|len| *len > 0)
        || (set_timeout.is_some() || set_mark.is_some())
        || (set_state.is_some() || set_helper.is_some());
    if !is_something {
        return Err("nothing to update: say --set-timeout, --set-mark or the like".to_owned());
    }
    match set_state {
        Some(state) if names::tcp_state_number(state).is_none() => {
            Err(format!("{state} is no state of TCP"))
        }
        _ => Ok(()),
    }
}

fn request(flow: &Flow<'_>, change: &ChangeArgs) -> Request {
    Request::new(Subsystem::Conntrack, message::NEW, family_of(flow)).with(|writer| {
        write_identity(flow, writer);
        if let Some(seconds) = change.set_timeout {
            Attribute::Timeout(seconds).write(writer);
        }
        if let Some(mark) = change.set_mark {
            Attribute::Mark(mark.value).write(writer);
            Attribute::MarkMask(mark.mask).write(writer);
        }
        if !change.set_status.is_empty() {
            // The kernel takes a status for a wish to clear what it doesn't name, and refuses most of those.
            let bits =
                change.set_status.iter().fold(flow.status.unwrap_or(0), |sum, bit| sum | bit);
            Attribute::Status(bits).write(writer);
        }
        if let Some(state) = change.set_state.and_then(names::tcp_state_number) {
            Attribute::ProtoInfo(tcp_info(state)).write(writer);
        }
        if let Some(helper) = &change.set_helper {
            let help = Help { name: Some(helper.as_bytes()), ..Help::default() };
            Attribute::Help(help).write(writer);
        }
        write_labels(change, writer);
    })
}

/// What the tracker of TCP shall remember.
pub(super) fn tcp_info(state: u8) -> ProtoInfo {
    let tcp = TcpInfo { state: Some(state), ..TcpInfo::default() };
    ProtoInfo { tcp: Some(tcp), ..ProtoInfo::default() }
}

/// The labels that are added, under a mask of all that change: the kernel clears the mask's bits and turns over the
/// others (`nf_connlabels_replace`).
fn write_labels(change: &ChangeArgs, writer: &mut Writer<'_>) {
    let (add, remove) = (&change.add_label, &change.del_label);
    if add.is_empty() && remove.is_empty() {
        return;
    }
    let changed: Vec<u16> = add.iter().chain(remove).copied().collect();
    Attribute::Labels(&label_bytes(add)).write(writer);
    Attribute::LabelsMask(&label_bytes(&changed)).write(writer);
}

/// A set of labels in words of the machine's byte order.
pub(super) fn label_bytes(bits: &[u16]) -> Vec<u8> {
    let mut words = [0_u32; BITS as usize / 32];
    for bit in bits {
        words[usize::from(bit / 32)] |= 1 << (bit % 32);
    }
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Hands over the flows as they are after the update. Those that ended since aren't.
fn show(
    table: &mut Table,
    updated: &[Vec<u8>],
    take: impl FnMut(&Flow<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut requests = Vec::new();
    flows_in(updated, |flow| {
        requests.push(get::request(family_of(flow), flow.tuples[0].clone(), flow.zone, false));
        Ok(())
    })?;
    let outcomes = table.exchange(&requests)?;
    let answers: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.data).collect();
    flows_in(&answers, take)
}
