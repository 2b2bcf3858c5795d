//! A host's cable, taken directly: packets that no stack has made, by packet sockets.

use std::io;
use std::net::Ipv4Addr;

use nix::net::if_::if_nametoindex;
use tidegate_gateway::dataplane::{Frame, HEADROOM, Link, LinkLayer, packet};
use tidegate_wire::packet::ethernet::{self, MacAddr};

use crate::addresses::mac_of;
use crate::hosts::Network;

/// Packets that are sent together.
pub(crate) const BATCH: usize = 64;
const LONGEST: usize = 256;

/// A host's end of its cable.
pub(crate) struct Cable {
    link: Link,
    outbox: Outbox,
}

/// Packets that wait to be sent together.
pub(crate) struct Outbox {
    own: MacAddr,
    router: MacAddr,
    buffers: Vec<Vec<u8>>,
    used: usize,
}

impl Cable {
    /// Takes the cable of a host.
    pub(crate) fn open(network: &Network, own: Ipv4Addr, router: Ipv4Addr) -> io::Result<Self> {
        let index = network.within(|| Ok(if_nametoindex("eth0")?))?;
        let (own, router) = (mac_of(own), mac_of(router));
        let outbox = Outbox { own, router, buffers: Vec::new(), used: 0 };
        // Links cannot be handed from thread to thread; the socket stays where it was made.
        let before = std::fs::File::open("/proc/thread-self/ns/net")?;
        network.enter()?;
        let link = packet::open(index, LinkLayer::Ethernet);
        nix::sched::setns(&before, nix::sched::CloneFlags::CLONE_NEWNET)?;
        Ok(Self { link: link?, outbox })
    }

    /// Where packets are put that are to be sent.
    pub(crate) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Hands over what has come, and lets it be answered; how many packets there were.
    pub(crate) fn answer(&mut self, mut each: impl FnMut(&[u8], &mut Outbox)) -> io::Result<usize> {
        let Self { link, outbox } = self;
        let mut frames: Vec<Frame<'_>> = Vec::with_capacity(BATCH);
        link.receiver.receive(BATCH, &mut frames)?;
        for frame in frames.iter().filter(|frame| frame.is_ip()) {
            each(frame.datagram(), outbox);
        }
        Ok(frames.len())
    }

    /// Sends what was put into the outbox.
    pub(crate) fn flush(&mut self) {
        let Self { link, outbox } = self;
        let mut frames: Vec<Frame<'_>> = outbox.frames().collect();
        link.sender.send(&mut frames);
        outbox.used = 0;
    }

    /// Sends the same packets, again and again while it is told to; `count` hears of each batch.
    pub(crate) fn repeat(&mut self, mut count: impl FnMut(u64, u64) -> bool) {
        let Self { link, outbox } = self;
        let mut frames: Vec<Frame<'_>> = outbox.frames().collect();
        loop {
            for batch in frames.chunks_mut(BATCH) {
                link.sender.send(batch);
            }
            let counters = link.sender.counters();
            if !count(counters.sent, counters.unsent) {
                break;
            }
        }
        outbox.used = 0;
    }

    /// Waits until something has come, a moment at most.
    pub(crate) fn wait(cables: [&Self; 2]) {
        let fds = cables.iter().filter_map(|cable| cable.link.receiver.fd());
        let mut fds: Vec<_> = fds
            .map(|fd| rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN))
            .collect();
        let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let _ = rustix::event::poll(&mut fds, Some(&moment));
    }
}

impl Outbox {
    /// Puts a datagram of this length into it, which is written by `write`.
    pub(crate) fn put(&mut self, len: usize, write: impl FnOnce(&mut [u8])) {
        if self.used == self.buffers.len() {
            self.buffers.push(Vec::with_capacity(LONGEST));
        }
        let buffer = &mut self.buffers[self.used];
        buffer.clear();
        buffer.resize(START + len, 0);
        buffer[HEADROOM..HEADROOM + 6].copy_from_slice(&self.router.0);
        buffer[HEADROOM + 6..HEADROOM + 12].copy_from_slice(&self.own.0);
        buffer[HEADROOM + 12..START].copy_from_slice(&ethernet::IPV4.to_be_bytes());
        write(&mut buffer[START..]);
        self.used += 1;
    }

    fn frames(&mut self) -> impl Iterator<Item = Frame<'_>> {
        let buffers = self.buffers[..self.used].iter_mut();
        buffers.filter_map(|buffer| {
            let end = buffer.len();
            Frame::prepared(buffer, (HEADROOM, START, end))
        })
    }
}

const START: usize = HEADROOM + ethernet::HEADER_LEN;
