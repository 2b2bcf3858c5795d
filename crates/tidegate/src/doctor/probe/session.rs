//! The ssh session that this runs in, so that nobody cuts it unawares. sudo hides it, but not the processes above.

use std::fs;
use std::net::IpAddr;

use tidegate_wire::netlink::{Family, Tuple};
use tidegate_wire::proto;

use super::super::facts::Ssh;
use crate::client::{Place, Table};
use crate::cmd::get;

/// The session, if this runs in one.
pub(super) fn read(place: &Place) -> Option<Ssh> {
    if let Place::File(_) = place {
        return None;
    }
    let own = std::env::var("SSH_CONNECTION").ok();
    let tuple = tuple_of(&own.or_else(of_ancestors)?)?;
    let client = tuple.src?;
    let family = match client {
        IpAddr::V4(_) => tidegate_wire::Family::V4,
        IpAddr::V6(_) => tidegate_wire::Family::V6,
    };
    let request = get::request(Family::of(family), tuple, None, false);
    let is_tracked = Table::open(place).ok()?.ask(&request).is_ok();
    Some(Ssh { client, is_tracked })
}

/// `CLIENT PORT SERVER PORT`.
fn tuple_of(words: &str) -> Option<Tuple> {
    let mut words = words.split_whitespace();
    Some(Tuple {
        src: Some(words.next()?.parse().ok()?),
        sport: Some(words.next()?.parse().ok()?),
        dst: Some(words.next()?.parse().ok()?),
        dport: Some(words.next()?.parse().ok()?),
        proto: Some(proto::TCP),
        ..Tuple::default()
    })
}

fn of_ancestors() -> Option<String> {
    let mut process = std::os::unix::process::parent_id();
    for _ in 0..DEPTH {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let found = environment.split('\0').find_map(|line| line.strip_prefix("SSH_CONNECTION="));
        if let Some(found) = found {
            return Some(found.to_owned());
        }
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        process =
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    }
    None
}

/// Shells, sudo and screens in between.
const DEPTH: usize = 16;
