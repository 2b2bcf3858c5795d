//! `tidegate insert`: a flow that no packet made.

use tidegate_wire::netlink::conntrack::{
    Attribute, Help, NatPorts, NatRange, ProtoInfo, SctpInfo, message,
};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, Flags, Tuple, Writer};
use tidegate_wire::proto;

use super::Failure;
use super::update::{label_bytes, tcp_info};
use crate::client::names::{self, bit};
use crate::client::{Request, Table};
use crate::flags::table::InsertArgs;
use crate::flags::tuple::{NewArgs, Target};
use crate::message as say;

/// Runs the command.
pub(crate) fn run(args: &InsertArgs) -> Result<(), Failure> {
    let family = Family::of(args.tuple.family().map_err(Failure::Usage)?);
    let original = args.tuple.tuple().map_err(Failure::Usage)?;
    let reply = reply(args).map_err(Failure::Usage)?;
    let info = info(args.tuple.proto(), args.new.state).map_err(Failure::Usage)?;
    let place = args.place.place();
    place.enter()?;
    let request = Request::new(Subsystem::Conntrack, message::NEW, family)
        .flags(Flags::CREATE | Flags::EXCL)
        .with(|writer| {
            Attribute::Original(original).write(writer);
            Attribute::Reply(reply).write(writer);
            if let Some(zone) = args.tuple.zone {
                Attribute::Zone(zone).write(writer);
            }
            info.into_iter().for_each(|info| Attribute::ProtoInfo(info).write(writer));
            write_rest(&args.new, writer);
        });
    Table::open(&place)?.ask(&request)?;
    say::summary("1 flow entries have been created.");
    Ok(())
}

fn reply(args: &InsertArgs) -> Result<Tuple, String> {
    let NewArgs { reply_src, reply_dst, reply_sport, reply_dport, .. } = args.new;
    let reply = args.tuple.reply()?;
    Ok(Tuple {
        src: reply_src.or(reply.src),
        dst: reply_dst.or(reply.dst),
        sport: reply_sport.or(reply.sport),
        dport: reply_dport.or(reply.dport),
        ..reply
    })
}

/// What the tracker shall remember: a connection that nobody saw begin is an established one.
fn info(protocol: u8, state: Option<&str>) -> Result<Option<ProtoInfo>, String> {
    let unknown = |state: &str, of: &str| format!("{state} is no state of {of}");
    match (protocol, state) {
        (proto::TCP, state) => {
            let state = state.unwrap_or("ESTABLISHED");
            let number = names::tcp_state_number(state).ok_or_else(|| unknown(state, "TCP"))?;
            Ok(Some(tcp_info(number)))
        }
        (proto::SCTP, Some(state)) => {
            let number = names::sctp_state_number(state).ok_or_else(|| unknown(state, "SCTP"))?;
            let (tag_original, tag_reply) = (Some(0), Some(0));
            let sctp =
                SctpInfo { state: Some(number), tag_original, tag_reply, ..SctpInfo::default() };
            Ok(Some(ProtoInfo { sctp: Some(sctp), ..ProtoInfo::default() }))
        }
        (_, Some(state)) => Err(format!("protocol {protocol} has no states, so none is {state}")),
        (_, None) => Ok(None),
    }
}

fn write_rest(new: &NewArgs, writer: &mut Writer<'_>) {
    let status = new.status.iter().fold(bit::CONFIRMED, |sum, bit| sum | bit);
    Attribute::Status(status).write(writer);
    Attribute::Timeout(new.timeout).write(writer);
    if let Some(mark) = new.mark {
        Attribute::Mark(mark.value & mark.mask).write(writer);
    }
    if let Some(helper) = &new.helper {
        let help = Help { name: Some(helper.as_bytes()), ..Help::default() };
        Attribute::Help(help).write(writer);
    }
    if !new.label.is_empty() {
        Attribute::Labels(&label_bytes(&new.label)).write(writer);
    }
    if let Some(target) = new.src_nat {
        Attribute::NatSource(range(target)).write(writer);
    }
    if let Some(target) = new.dst_nat {
        Attribute::NatDestination(range(target)).write(writer);
    }
}

fn range(target: Target) -> NatRange {
    let Target { address, port } = target;
    let ports =
        port.map(|port| NatPorts { first: Some(port), last: Some(port), ..NatPorts::default() });
    NatRange { first: Some(address), ports, ..NatRange::default() }
}
