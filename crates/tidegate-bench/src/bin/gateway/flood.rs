//! Short datagrams, as fast as they go: 60 bytes of Ethernet (64 with the check sequence), of 256 flows that have been
//! answered.
//!
//! A packet socket sends them on the client's processor. At the server a rule of nftables counts and drops them before
//! any stack sees them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::account::Account;
use crate::addresses::{CLIENT, INSIDE, OUTSIDE, SERVER, guest, service};
use crate::hosts::{Hosts, Network};
use crate::report::Row;
use crate::router::{CLIENTS_CPU, Gateway, pin};
use crate::segment::Way;
use crate::wire::{BATCH, Cable};

const FLOWS: u32 = 256;
const PORT: u16 = 9;
/// An IPv4 datagram that fills the shortest frame.
const DATAGRAM: usize = 46;
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(200);
/// For what is on its way.
const DRAIN: Duration = Duration::from_millis(100);
const SINK: &str = "table netdev sink { chain sink { type filter hook ingress device eth0 priority 0; \
                    udp dport 9 counter drop; }; }";

/// What the client's thread has done.
#[derive(Default)]
struct Sent {
    sent: AtomicU64,
    unsent: AtomicU64,
    is_over: AtomicBool,
}

/// Packets a second that arrive.
pub(crate) fn run(hosts: &Hosts, gateway: &Gateway, length: Duration) -> io::Result<Row> {
    hosts.server.call("nft", &[SINK])?;
    let sent = Sent::default();
    let (counts, spent) = thread::scope(|scope| {
        let client = scope.spawn(|| flood(hosts, &sent));
        let counted = measure(hosts, gateway, &sent, length);
        sent.is_over.store(true, Ordering::Relaxed);
        let client = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        client.and(counted)
    })?;
    thread::sleep(DRAIN);
    let all = sent.sent.load(Ordering::Relaxed);
    let lost = all.saturating_sub(counted(&hosts.server)?);
    let offered = counts.offered as f64 / spent.wall;
    let note = format!("{offered:.0} packets/s offered, {} not taken", counts.unsent);
    let rate = counts.arrived as f64 / spent.wall;
    Ok(Row { items: counts.arrived, lost, of: all, note, ..Row::of(rate, "packets/s", spent) })
}

struct Counts {
    offered: u64,
    unsent: u64,
    arrived: u64,
}

fn measure(
    hosts: &Hosts,
    gateway: &Gateway,
    sent: &Sent,
    length: Duration,
) -> io::Result<(Counts, crate::account::Spent)> {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    while of(&sent.sent) == 0 && !sent.is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(WARM_UP);
    let before = counted(&hosts.server)?;
    let (offered, unsent) = (of(&sent.sent), of(&sent.unsent));
    let account = Account::open(gateway.clock());
    thread::sleep(length);
    let arrived = counted(&hosts.server)? - before;
    let (offered, unsent) = (of(&sent.sent) - offered, of(&sent.unsent) - unsent);
    Ok((Counts { offered, unsent, arrived }, account.close()))
}

/// What the client does until it is over.
fn flood(hosts: &Hosts, sent: &Sent) -> io::Result<()> {
    let done = prepare(hosts).and_then(|mut client| {
        pin(0, CLIENTS_CPU)?;
        client.repeat(|done, undone| {
            sent.sent.store(done.saturating_sub(u64::from(FLOWS)), Ordering::Relaxed);
            sent.unsent.store(undone, Ordering::Relaxed);
            !sent.is_over.load(Ordering::Relaxed)
        });
        Ok(())
    });
    sent.is_over.store(true, Ordering::Relaxed);
    done
}

/// The client's cable with a packet of each flow in its outbox, and each flow answered once.
fn prepare(hosts: &Hosts) -> io::Result<Cable> {
    let mut client = Cable::open(&hosts.client, CLIENT, INSIDE)?;
    let mut server = Cable::open(&hosts.server, SERVER, OUTSIDE)?;
    let put = |client: &mut Cable, flow: u32| {
        let way = Way { src: (guest(flow), 4000), dst: (service(flow), PORT) };
        client.outbox().put(DATAGRAM, |bytes| way.write_udp(bytes));
    };
    for flows in (0..FLOWS).collect::<Vec<_>>().chunks(BATCH) {
        flows.iter().for_each(|flow| put(&mut client, *flow));
        client.flush();
        let mut answered = 0;
        for _ in 0..PATIENCE {
            server.answer(|datagram, outbox| {
                if let Some((way, tidegate_wire::proto::UDP)) = Way::read(datagram) {
                    outbox.put(DATAGRAM, |bytes| way.back().write_udp(bytes));
                    answered += 1;
                }
            })?;
            server.flush();
            if answered >= flows.len() {
                break;
            }
            Cable::wait([&server, &client]);
        }
    }
    (0..FLOWS).for_each(|flow| put(&mut client, flow));
    Ok(client)
}

const PATIENCE: usize = 500;

/// What the server has counted.
fn counted(server: &Network) -> io::Result<u64> {
    let text = server.call("nft", &["list", "chain", "netdev", "sink", "sink"])?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    let count = words.next().and_then(|word| word.parse().ok());
    count.ok_or_else(|| io::Error::other(format!("nft says: {text}")))
}
