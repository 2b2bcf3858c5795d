//! Captures as a link: frames come from one, as fast as they go or as they were recorded, and go to another.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::BorrowedFd;

use tidegate_wire::pcap::{CaptureError, InterfaceDesc, LinkType, Writer, datagram};

use super::feed::{FedFrame, Feed};
use super::{Capabilities, Counters, Frame, HEADROOM, Link, LinkLayer, Receiver, Sender};
use crate::clock::Clock;
use crate::config::CaptureFiles;
use crate::replay::Cause;

/// Opens the captures of an interface, as which the one that is written is named.
///
/// # Errors
/// One can't be read, or the other one made.
pub fn open(name: &str, files: &CaptureFiles, header: LinkLayer) -> io::Result<Link> {
    let CaptureFiles { read, write, pace } = files;
    let feed = read.as_deref().map(|path| Feed::open(path, *pace));
    let feed = feed.transpose().map_err(as_io)?;
    let receiver =
        PcapReceiver { feed, taken: Vec::new(), failed: None, counters: Counters::default() };
    let kind = match header {
        LinkLayer::Ethernet => LinkType::Ethernet,
        LinkLayer::Raw => LinkType::RawIp,
    };
    let begin = |file| Writer::new(BufWriter::new(file), &[InterfaceDesc { name, link: kind }]);
    let writer = write.as_deref().map(|path| File::create(path).and_then(begin)).transpose()?;
    let clock = Clock::start();
    let sender = PcapSender { writer, header, clock, counters: Counters::default() };
    Ok(Link { receiver: Box::new(receiver), sender: Box::new(sender) })
}

/// A capture's fault as one of a link.
fn as_io(cause: Cause) -> io::Error {
    match cause {
        Cause::Io(error) => error,
        cause => io::Error::new(io::ErrorKind::InvalidData, cause.to_string()),
    }
}

struct PcapReceiver {
    feed: Option<Feed>,
    /// Each with room in front.
    taken: Vec<(LinkType, Vec<u8>)>,
    /// What is told when the frames before it are gone.
    failed: Option<CaptureError>,
    counters: Counters,
}

impl PcapReceiver {
    /// What was not captured as a whole can't be forwarded.
    fn keep(&mut self, FedFrame { link, data, orig_len, .. }: &FedFrame) {
        let is_whole = data.len() >= *orig_len as usize;
        let bytes = match link {
            LinkType::Ethernet => Some(&data[..]),
            other => datagram(*other, data).datagram,
        };
        match bytes.filter(|_| is_whole) {
            Some(bytes) => self.taken.push((*link, [&[0; HEADROOM], bytes].concat())),
            None => self.counters.damaged += 1,
        }
    }
}

impl Receiver for PcapReceiver {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.feed.as_ref().map(Feed::fd)
    }

    /// The end of a capture is no error.
    fn receive<'a>(&'a mut self, most: usize, frames: &mut Vec<Frame<'a>>) -> io::Result<()> {
        self.taken.clear();
        while self.taken.len() < most && self.failed.is_none() {
            match self.feed.as_mut().and_then(Feed::take) {
                Some(Ok(frame)) => self.keep(&frame),
                Some(Err(error)) => self.failed = Some(error),
                None => break,
            }
        }
        if self.taken.is_empty()
            && let Some(error) = self.failed.take()
        {
            return Err(as_io(Cause::Capture(error)));
        }
        for (link, bytes) in &mut self.taken {
            let place = (HEADROOM, bytes.len());
            let frame = match link {
                LinkType::Ethernet => Frame::ethernet(bytes, place),
                _ => Frame::raw(bytes, place),
            };
            match frame {
                Some(frame) => frames.push(frame),
                None => self.counters.damaged += 1,
            }
        }
        self.counters.received += frames.len() as u64;
        Ok(())
    }

    fn hears_others(&self) -> bool {
        true
    }

    fn counters(&mut self) -> Counters {
        self.counters
    }
}

struct PcapSender {
    writer: Option<Writer<BufWriter<File>>>,
    header: LinkLayer,
    clock: Clock,
    counters: Counters,
}

impl Sender for PcapSender {
    fn capabilities(&self) -> Capabilities {
        Capabilities { header: self.header, checksum: false, segmentation: false }
    }

    fn send(&mut self, frames: &mut [Frame<'_>]) {
        let time = self.clock.wall().offset.saturating_add(self.clock.now().nanos());
        for frame in frames {
            let written = self.writer.as_mut().map(|to| to.write(0, time, frame.bytes()));
            match written {
                Some(Ok(())) => self.counters.sent += 1,
                Some(Err(_)) | None => self.counters.unsent += 1,
            }
        }
        // Who reads it meanwhile wants to see it; a full disk was counted above.
        let _ = self.writer.as_mut().map(Writer::flush);
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
