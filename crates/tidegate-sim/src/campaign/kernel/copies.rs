//! Copies of packets that NFLOG rules hand over.

use std::io;

use serde_json::{Value, json};

use super::netlink::{Attributes, Netlink, push_attribute};
use crate::oracle::hex;

/// Hears of some groups of copies, in the order in which they are made.
#[derive(Debug)]
pub(super) struct Copies(Netlink);

impl Copies {
    /// Listens to `groups` of the thread's network namespace.
    pub(super) fn open(groups: impl Iterator<Item = u16>) -> io::Result<Self> {
        let mut netlink = Netlink::open(0)?;
        for group in groups {
            let [high, low] = group.to_be_bytes();
            let mut bind = vec![0, 0, high, low];
            push_attribute(&mut bind, COMMAND, &[BIND]);
            netlink.command(CONFIGURE, bind)?;
            let mut whole = vec![0, 0, high, low];
            push_attribute(&mut whole, MODE, &[0, 0, 0xff, 0xff, WHOLE_PACKET, 0]);
            push_attribute(&mut whole, THRESHOLD, &1u32.to_be_bytes());
            netlink.command(CONFIGURE, whole)?;
        }
        Ok(Self(netlink))
    }

    /// The copies since the last look, as the format has them.
    pub(super) fn heard(&mut self) -> io::Result<Vec<Value>> {
        let messages = self.0.heard()?;
        let copies = messages.iter().filter(|message| message.kind == PACKET).map(|message| {
            let attributes = Attributes::of_body(&message.body);
            json!({
                "group": message.body.get(2..4).map(|group| u16::from(group[0]) << 8 | u16::from(group[1])),
                "prefix": attributes.text(PREFIX).unwrap_or_default(),
                "hex": hex(attributes.find(PAYLOAD).unwrap_or_default()),
                // What came in has a port that it came by, behind routing as well.
                "own": attributes.find(IN_PORT).is_none(),
            })
        });
        Ok(copies.collect())
    }
}

// linux/netfilter/nfnetlink_log.h
const PACKET: u16 = 4 << 8;
const CONFIGURE: u16 = 4 << 8 | 1;
const IN_PORT: u16 = 4;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const THRESHOLD: u16 = 5;
const BIND: u8 = 1;
const WHOLE_PACKET: u8 = 2;
