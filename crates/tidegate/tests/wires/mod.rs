//! A bad wire: a namespace between a host and the gateway, in which a thread carries frames from one side to the other, and
//! loses, doubles and delays some, so that others overtake them.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidegate_engine::packet::Offload;
use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::dataplane::{Frame, HEADROOM, Link, LinkLayer, packet};

use crate::ends::{Host, cable};
use crate::stage::{call, words};

/// Of a thousand frames so many are lost, doubled, delayed.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) delayed: u64,
}

/// How often each has happened.
#[derive(Default)]
pub(crate) struct Happened {
    pub(crate) lost: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) delayed: AtomicU64,
}

/// A wire that works as long as this.
pub(crate) struct Wire {
    is_over: Arc<AtomicBool>,
    pub(crate) happened: Arc<Happened>,
    thread: Option<JoinHandle<()>>,
    _middle: Host,
}

impl Wire {
    /// Joins a host's `eth0` to an interface of the gateway's by a wire.
    pub(crate) fn join(host: &Host, port: &str, faults: Faults) -> Self {
        let middle = Host::new();
        let host_pid = host.pid();
        cable(port, "far", &middle);
        middle.call(
            "ip",
            &["link", "add", "near", "type", "veth", "peer", "name", "eth0", "netns", &host_pid],
        );
        let own = address_of(&host.call("ip", &["-o", "link", "show", "eth0"]));
        let router = address_of(&call("ip", &["-o", "link", "show", port]));
        // Each side has the address of whom it stands for, or a packet socket would take frames for somebody else's.
        for (name, address) in [("near", router), ("far", own)] {
            middle.call("ip", &["link", "set", name, "address", &address, "addrgenmode", "none"]);
            middle.call("ip", &["link", "set", name, "up"]);
        }
        let (is_over, happened) = (Arc::new(AtomicBool::new(false)), Arc::new(Happened::default()));
        let carrier = Carrier { faults, happened: Arc::clone(&happened), random: 7 };
        let over = Arc::clone(&is_over);
        let thread = middle.within(|| thread::spawn(move || carrier.carry(&over)));
        Self { is_over, happened, thread: Some(thread), _middle: middle }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The hardware address in a line of ip(8).
pub(crate) fn address_of(line: &str) -> String {
    let words = words(line);
    let at = words.iter().position(|word| *word == "link/ether").unwrap();
    words[at + 1].to_owned()
}

/// A frame on its way: whole, with room in front.
struct Parcel {
    bytes: Vec<u8>,
    offload: Offload,
}

struct Carrier {
    faults: Faults,
    happened: Arc<Happened>,
    random: u64,
}

impl Carrier {
    fn carry(mut self, is_over: &AtomicBool) {
        let mut links = ["near", "far"].map(open);
        let mut delayed: [VecDeque<(Duration, Parcel)>; 2] = Default::default();
        let clock = Stopwatch::start();
        while !is_over.load(Ordering::Acquire) {
            let mut count = 0;
            for side in 0..2 {
                let parcels = received(&mut links[side]);
                count += parcels.len();
                let other = &mut links[1 - side];
                for parcel in parcels {
                    let due = clock.elapsed() + DELAY;
                    self.pass(parcel, other, |parcel| delayed[side].push_back((due, parcel)));
                }
                while let Some((_, parcel)) =
                    delayed[side].pop_front_if(|(due, _)| *due <= clock.elapsed())
                {
                    send(&mut links[1 - side], &parcel);
                }
            }
            if count == 0 {
                thread::sleep(Duration::from_micros(100));
            }
        }
    }

    fn pass(&mut self, parcel: Parcel, to: &mut Link, delay: impl FnOnce(Parcel)) {
        let Faults { lost, doubled, delayed } = self.faults;
        let chance = self.next() % 1000;
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        if chance < lost {
            count(&self.happened.lost);
        } else if chance < lost + delayed {
            count(&self.happened.delayed);
            delay(parcel);
        } else {
            send(to, &parcel);
            if chance < lost + delayed + doubled {
                count(&self.happened.doubled);
                send(to, &parcel);
            }
        }
    }

    /// Of a linear congruential generator: the same faults every time.
    fn next(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}

/// Opens an interface of this thread's namespace.
pub(crate) fn open(name: &str) -> Link {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let index = rustix::net::netdevice::name_to_index(&socket, name).unwrap();
    packet::open(index, LinkLayer::Ethernet).unwrap()
}

/// What has come, each frame from its Ethernet header on.
fn received(link: &mut Link) -> Vec<Parcel> {
    let mut frames = Vec::new();
    // A link that is down has none.
    let _ = link.receiver.receive(64, &mut frames);
    let parcel = |frame: &Frame<'_>| {
        let header = frame.link.unwrap();
        let ethertype = header.ethertype.to_be_bytes();
        let header = [&header.dst.0[..], &header.src.0, &ethertype].concat();
        Parcel {
            bytes: [&[0; HEADROOM], &header[..], frame.datagram()].concat(),
            offload: frame.offload,
        }
    };
    frames.iter().map(parcel).collect()
}

fn send(link: &mut Link, parcel: &Parcel) {
    let mut bytes = parcel.bytes.clone();
    let place = (HEADROOM, HEADROOM + 14, bytes.len());
    let mut frame = Frame::prepared(&mut bytes, place).unwrap();
    frame.offload = parcel.offload;
    link.sender.send(&mut [frame]);
}

/// So long a frame is held back: others that come meanwhile overtake it.
const DELAY: Duration = Duration::from_millis(3);
