//! SYNPROXY on the path: what its rule does with a packet, and what the packets of a flow behind it meet before the
//! last hook at INPUT and POSTROUTING.
//!
//! Both end packets and send others in their place. Those go by OUTPUT as any packet of the host's: the SYN/ACK to the
//! client as what its SYN is to conntrack; the SYN to the server as the first packet of a flow behind the proxy, in the
//! default zone, whatever rules would say; the ACK to the server as a packet that conntrack has yet to see; the ACK to
//! the client as one of the flow's.
//!
//! Linux: `synproxy_tg4`, `ipv4_synproxy_hook`, and their twins.

use core::ops::ControlFlow::{Break, Continue};

use tidegate_wire::packet::tcp::{Tcp, TcpFlags, TcpRepr};
use tidegate_wire::{SeqNum, proto};

use super::answer::tcp_datagram;
use super::{Passage, Walk};
use crate::event::EventMask;
use crate::fib::Fib;
use crate::flow::{Care, Flow, FlowId};
use crate::packet::{CtInfo, Origin, Tracked, Transit};
use crate::rules::Template;
use crate::synproxy::{Offer, Quad, SynOptions, Timestamps, shift_clock};
use crate::trace::Observer;
use crate::track::ProtoState;
use crate::track::tcp::TcpState;
use crate::tuple::Direction;
use crate::verdict::{DropReason, Stage, Verdict};

/// A segment as the proxy reads it, while others are written.
#[derive(Clone, Copy)]
struct Heard {
    quad: Quad,
    seq: SeqNum,
    ack: SeqNum,
    flags: TcpFlags,
    window: u16,
    options: SynOptions,
}

impl Heard {
    /// `None`: the header is cut off.
    fn of(t: &Transit<'_, '_>) -> Option<Self> {
        let segment = t.headers.payload(&*t.packet.bytes);
        let tcp = Tcp::new(segment)?;
        let (src_port, dst_port) = (tcp.src_port(), tcp.dst_port());
        Some(Self {
            quad: Quad { src: t.headers.src, dst: t.headers.dst, src_port, dst_port },
            seq: tcp.seq(),
            ack: tcp.ack(),
            flags: tcp.flags(),
            window: tcp.window(),
            options: SynOptions::of(segment)?,
        })
    }

    fn has(&self, flag: TcpFlags) -> bool {
        self.flags.contains(flag)
    }

    /// A segment on its way to where this one goes.
    fn onward(&self, seq: SeqNum, ack: SeqNum) -> TcpRepr {
        let Quad { src_port, dst_port, .. } = self.quad;
        TcpRepr { src_port, dst_port, seq, ack, flags: TcpFlags::ACK, window: self.window }
    }

    /// One on its way back.
    fn back(&self, seq: SeqNum, ack: SeqNum) -> TcpRepr {
        let TcpRepr { src_port, dst_port, .. } = self.onward(seq, ack);
        TcpRepr { src_port: dst_port, dst_port: src_port, ..self.onward(seq, ack) }
    }
}

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// What the rule does with a SYN or an ACK that it takes, at `stage`. It ends here in any case.
    pub(super) fn proxy(
        &mut self,
        t: &mut Transit<'_, '_>,
        offer: &Offer,
        stage: Stage,
    ) -> DropReason {
        let Some(heard) = Heard::of(t) else { return DropReason::Rule(stage) };
        if heard.has(TcpFlags::SYN) {
            self.answer_client(t, &heard, offer);
            return DropReason::Proxied(stage);
        }
        self.believe(&heard, heard.seq, stage)
    }

    /// Answers a SYN with a cookie and a closed window.
    fn answer_client(&mut self, t: &mut Transit<'_, '_>, heard: &Heard, offer: &Offer) {
        const ECN: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);
        self.engine.stats.synproxy.syn_received += 1;
        let Heard { quad, seq, options, .. } = *heard;
        let options = SynOptions { ecn: heard.has(ECN), ..options };
        let answer = options.answer(offer, self.now);
        let cookie = self.engine.cookies.issue(self.now, &quad, seq, options.mss.unwrap_or(0));
        let flags = TcpFlags::SYN | TcpFlags::ACK | answer.ecn_flags(TcpFlags::ECE);
        let segment = TcpRepr { flags, window: 0, ..heard.back(cookie, seq + 1) };
        let bytes = tcp_datagram(quad.dst, quad.src, &segment, &answer.bytes());
        self.emit(bytes, answering(&mut t.tracked), Origin::Synproxy);
    }

    /// Looks for the cookie in an ACK. If it is there the server gets the SYN that the client had sent, with the
    /// number before `first`, and in the field for an acknowledgement, which it has no use for, the cookie.
    fn believe(&mut self, heard: &Heard, first: SeqNum, stage: Stage) -> DropReason {
        let Heard { quad, seq, ack, window, options, .. } = *heard;
        let one = 1;
        let mss = self.engine.cookies.check(self.now, &quad, seq - one, ack - one);
        let stats = &mut self.engine.stats.synproxy;
        let Some(mss) = mss else {
            stats.cookie_invalid += 1;
            return DropReason::BadCookie(stage);
        };
        stats.cookie_valid += 1;
        let options = options.remembered(mss);
        let flags = TcpFlags::SYN | options.ecn_flags(TcpFlags::ECE | TcpFlags::CWR);
        let segment = TcpRepr { flags, window, ..heard.onward(first - one, ack - one) };
        let bytes = tcp_datagram(quad.src, quad.dst, &segment, &options.bytes());
        self.emit_by(bytes, Tracked::None, Origin::Synproxy, Self::output_proxied);
        DropReason::Proxied(stage)
    }

    /// From OUTPUT on, as the first packet of a flow behind the proxy.
    fn output_proxied(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        t.template = Some(Template { is_proxied: true, ..Template::default() });
        self.output(t)
    }

    /// Before the last hook: what the handshake's packets of a flow behind the proxy mean, and the clocks of the others.
    #[inline(always)]
    pub(super) fn synproxy(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        if self.engine.programs.proxies(t.headers.family) { self.relay(t) } else { Continue(()) }
    }

    #[inline(never)]
    fn relay(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        let Some(dir) = t.tracked.info().direction() else { return Continue(()) };
        let Some(flow) = t.tracked.flow().filter(|flow| flow.is_proxied) else {
            return Continue(());
        };
        let by_loopback = t.packet.in_port.is_some_and(|port| self.fib.port(port).loopback);
        let ProtoState::Tcp(tcp) = &flow.proto else { return Continue(()) };
        if by_loopback || t.headers.proto != proto::TCP {
            return Continue(());
        }
        let (state, max_window) = (tcp.state, tcp.seen[Direction::Original.index()].max_window);
        let Some(heard) = Heard::of(t) else { return Break(DropReason::SequenceAdjust) };
        let (syn, ack) = (heard.has(TcpFlags::SYN), heard.has(TcpFlags::ACK));
        let is_original = dir == Direction::Original;
        match state {
            TcpState::Close if heard.has(TcpFlags::RST) && !is_original => {
                self.refuse_client(t, &heard)
            }
            TcpState::Close if syn && !ack && is_original => {
                self.engine.stats.synproxy.conn_reopened += 1;
                self.with_care(t, |_, care| care.proxy.clock_offset = 0);
                self.meet_server(t, &heard);
            }
            TcpState::SynSent if !syn && ack && is_original => return self.keep_alive(&heard),
            TcpState::SynSent => self.meet_server(t, &heard),
            TcpState::SynRecv if syn && ack => return self.join(t, &heard, max_window),
            _ => {}
        }
        self.adjust_clock(t, dir)
    }

    /// The server refuses: the client must see a number that it expects.
    fn refuse_client(&mut self, t: &mut Transit<'_, '_>, heard: &Heard) {
        self.with_care(t, |flow, care| {
            let offset = care.proxy.isn.since(heard.seq).wrapping_add(1);
            care.correct_all(flow, Direction::Reply, offset.cast_signed());
        });
    }

    /// Notes what was told the client in the server's name.
    fn meet_server(&mut self, t: &mut Transit<'_, '_>, heard: &Heard) {
        self.with_care(t, |flow, care| {
            care.proxy.isn = heard.ack;
            if let Some(Timestamps { echo, .. }) = heard.options.timestamps {
                care.proxy.its = echo;
            }
            flow.note(EventMask::SYNPROXY);
        });
    }

    /// The client asks whether anybody is there, with the number before the one that it would send next; the server,
    /// which hasn't answered, gets its SYN again.
    fn keep_alive(&mut self, heard: &Heard) -> Passage {
        let reason = self.believe(heard, heard.seq + 1, Stage::Confirm);
        if matches!(reason, DropReason::Proxied(_)) {
            self.engine.stats.synproxy.cookie_retrans += 1;
        }
        Break(reason)
    }

    /// The server has answered: it gets its ACK and the client one that opens the window.
    fn join(&mut self, t: &mut Transit<'_, '_>, heard: &Heard, max_window: u32) -> Passage {
        let Heard { quad, seq, ack, window, options, .. } = *heard;
        if let Some(Timestamps { value, .. }) = options.timestamps {
            self.with_care(t, |flow, care| {
                care.proxy.clock_offset = value.wrapping_sub(care.proxy.its);
                flow.note(EventMask::SYNPROXY);
            });
        }
        self.leave_notes(t);
        let stamps = options.timestamps.map(Timestamps::swapped);
        let to_server = TcpRepr { window: max_window as u16, ..heard.back(ack, seq + 1) };
        let bytes = SynOptions::of_acknowledgement(stamps).bytes();
        let bytes = tcp_datagram(quad.dst, quad.src, &to_server, &bytes);
        self.emit(bytes, Tracked::None, Origin::Synproxy);

        self.look_again(t);
        self.with_care(t, |flow, care| {
            care.correct_all(flow, Direction::Reply, care.proxy.isn.since(seq).cast_signed());
            flow.note(EventMask::SEQADJ);
        });
        let window = window >> options.window_scale.unwrap_or(0);
        let to_client = TcpRepr { window, ..heard.onward(seq + 1, ack) };
        let bytes = SynOptions::of_acknowledgement(options.timestamps).bytes();
        let bytes = tcp_datagram(quad.src, quad.dst, &to_client, &bytes);
        self.emit(bytes, answering(&mut t.tracked), Origin::Synproxy);
        Break(DropReason::Proxied(Stage::Confirm))
    }

    fn adjust_clock(&mut self, t: &mut Transit<'_, '_>, dir: Direction) -> Passage {
        let offset = self.care_of(t).proxy.clock_offset;
        let range = t.headers.l4.unwrap_or(t.headers.len)..t.headers.len;
        if let Some(segment) = t.packet.bytes.get_mut(range) {
            shift_clock(segment, t.headers.checksum, dir, offset);
        }
        Continue(())
    }

    /// Changes the packet's flow and what lies apart from it.
    fn with_care(&mut self, t: &mut Transit<'_, '_>, change: impl FnOnce(&mut Flow, &mut Care)) {
        let mut care = self.care_of(t);
        let table = &mut self.engine.table;
        match &mut t.tracked {
            Tracked::Draft(draft, _) => {
                change(&mut draft.0, &mut care);
                table.set_care(FlowId::UNBORN, care);
            }
            Tracked::Flow(held, _) => {
                change(&mut held.flow, &mut care);
                held.save(table);
                table.set_care(held.id, care);
            }
            Tracked::None | Tracked::Untracked => {}
        }
        t.estate = t.estate.is_some().then_some(care);
    }

    /// Leaves what is to be announced to the flow's next packet.
    fn leave_notes(&mut self, t: &mut Transit<'_, '_>) {
        if let Tracked::Flow(held, _) = &mut t.tracked {
            self.engine.table.save(held.id, &held.flow);
            held.flow.pending = EventMask::empty();
        }
    }

    /// Sees the flow as another packet has left it.
    fn look_again(&mut self, t: &mut Transit<'_, '_>) {
        if let Tracked::Flow(held, _) = &mut t.tracked
            && let Some(flow) = self.engine.table.load(held.id)
        {
            held.flow = flow;
        }
    }
}

/// What the client's packet is to conntrack, as one of the other direction; what is to be announced goes with it.
fn answering(tracked: &mut Tracked) -> Tracked {
    let info = CtInfo::Established(Direction::Reply);
    match tracked {
        Tracked::Draft(draft, _) => Tracked::Draft(draft.clone(), info),
        Tracked::Flow(held, _) => {
            let copy = held.clone();
            held.flow.pending = EventMask::empty();
            Tracked::Flow(copy, info)
        }
        Tracked::None | Tracked::Untracked => Tracked::None,
    }
}
