//! Names of addresses, looked up in a thread of its own: whoever answers slowly holds up nobody.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread;

use super::state::Report;

/// Takes addresses; their names come as reports. What is asked while the queue is full is asked again later.
pub(super) fn start(reports: Sender<Report>) -> SyncSender<IpAddr> {
    let (ask, asked) = sync_channel(QUEUE);
    thread::spawn(move || answer(&asked, &reports));
    ask
}

fn answer(asked: &Receiver<IpAddr>, reports: &Sender<Report>) {
    for address in asked {
        let name = dns_lookup::lookup_addr(&address).ok();
        // What has no name is given back as it was.
        let name = name.filter(|name| name.parse::<IpAddr>().is_err());
        if reports.send(Report::Name(address, name)).is_err() {
            return;
        }
    }
}

const QUEUE: usize = 256;
