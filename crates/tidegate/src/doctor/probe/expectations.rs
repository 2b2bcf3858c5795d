//! The table of expectations: how full, and whose.

use std::collections::HashMap;
use std::net::IpAddr;

use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::expect::message;
use tidegate_wire::netlink::frame::Subsystem;

use super::super::blind::Blind;
use super::super::facts::Expected;
use super::super::foreign;
use super::setting;
use crate::client::{self, ClientError, Place, Request, Table};

/// Lists them: a kernel allows some thousands.
pub(super) fn read(place: &Place, settings: &[(String, String)], blind: &mut Blind) -> Expected {
    let mut whose = Whose::default();
    let request = Request::new(Subsystem::Expect, message::GET, Family::default());
    let listed = Table::open(place).and_then(|mut table| {
        table.dump(&request, |message| {
            whose.add(&client::Expected::parse(message)?);
            Ok::<_, ClientError>(())
        })
    });
    // Of those that weren't listed nothing is said.
    let max = setting(settings, "nf_conntrack_expect_max").filter(|_| listed.is_ok());
    if let Err(error) = listed {
        blind.refused("expectations", &error);
    }
    Expected { count: whose.count, max, helper: most(whose.helpers), source: most(whose.sources) }
}

#[derive(Default)]
struct Whose {
    count: u64,
    helpers: HashMap<String, u64>,
    sources: HashMap<IpAddr, u64>,
}

impl Whose {
    fn add(&mut self, expected: &client::Expected<'_>) {
        self.count += 1;
        let helper = expected.helper.map_or_else(|| "none".into(), String::from_utf8_lossy);
        *self.helpers.entry(foreign::name(&helper)).or_default() += 1;
        if let Some(source) = expected
            .master
            .src
            .filter(|source| self.sources.len() < ROOM || self.sources.contains_key(source))
        {
            *self.sources.entry(source).or_default() += 1;
        }
    }
}

fn most<K: Ord>(counts: HashMap<K, u64>) -> Option<(K, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, first), (b, second)| second.cmp(first).then(a.cmp(b)));
    counts.into_iter().next()
}

/// As many sources are told apart.
const ROOM: usize = 8192;
