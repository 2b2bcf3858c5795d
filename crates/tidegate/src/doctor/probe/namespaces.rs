//! The other network namespaces: each has a table of its own under the one limit, and a full one is noticed by nobody
//! who looks into the first.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use super::super::blind::Blind;
use super::super::facts::{Scene, Space, Whose};
use super::super::foreign;
use super::owners::resident;
use crate::client::Place;

/// Those that a process is in, or that have a name.
pub(super) fn read(scene: &Scene, blind: &mut Blind) -> Vec<Space> {
    if scene.table != Whose::Kernel {
        return Vec::new();
    }
    let mut spaces: BTreeMap<u64, Space> = BTreeMap::new();
    let mut hidden = 0;
    for process in processes() {
        let data = match fs::metadata(format!("/proc/{process}/ns/net")) {
            Ok(data) => data,
            Err(error) => {
                hidden +=
                    u64::from(error.kind() == ErrorKind::PermissionDenied && is_alive(process));
                continue;
            }
        };
        let (inode, place) = (data.ino(), process.to_string());
        if Some(inode) != scene.inode && !spaces.contains_key(&inode) && spaces.len() < MOST {
            let stat = fs::read_to_string(format!("/proc/{process}/net/stat/nf_conntrack"));
            let (count, drops) = stat.ok().and_then(|text| figures(&text)).unwrap_or_default();
            let who = resident(process);
            spaces.insert(inode, Space { inode, place, who, count, drops });
        }
    }
    if hidden > 0 {
        let of = if hidden == 1 { "process" } else { "processes" };
        blind.denied(format!("the network namespaces of {hidden} {of}"));
    }
    for name in names() {
        let Ok(data) = fs::metadata(Path::new(NAMED).join(&name)) else { continue };
        let inode = data.ino();
        if Some(inode) != scene.inode && !spaces.contains_key(&inode) && spaces.len() < MOST {
            let (count, drops) = enter(&name).unwrap_or_default();
            let who = format!("ip netns {}", foreign::name(&name));
            spaces.insert(inode, Space { inode, place: name, who, count, drops });
        }
    }
    spaces.into_values().collect()
}

/// A process that has ended and was not buried is in no namespace.
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The numbers of all processes, in their order.
pub(super) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut processes: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    processes.sort_unstable();
    processes
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(NAMED).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Reads the file from within, on a thread that ends in there.
fn enter(name: &str) -> Option<(u64, u64)> {
    let place = Place::Kernel(Some(name.to_owned()));
    let read = move || {
        place.enter().ok()?;
        figures(&fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack").ok()?)
    };
    thread::spawn(read).join().ok()?
}

/// Flows and refused packets, of a file with a line of names and one of numbers for each processor.
fn figures(text: &str) -> Option<(u64, u64)> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let [entries, drop] =
        ["entries", "drop"].map(|name| names.iter().position(|known| *known == name));
    let (entries, drop) = (entries?, drop?);
    let (mut count, mut drops) = (0, 0);
    for line in lines {
        let number =
            |index: usize| u64::from_str_radix(line.split_whitespace().nth(index)?, 16).ok();
        count = number(entries)?;
        drops += number(drop)?;
    }
    Some((count, drops))
}

/// Where `ip netns` keeps namespaces.
const NAMED: &str = "/run/netns";
/// More are not looked at.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_stand_in_every_line_and_drops_are_each_processor_s_own() {
        let text = "entries  clashres found drop early_drop\n000000ff 0 0 00000002 0\n000000ff 0 0 00000010 0\n";
        assert_eq!(figures(text), Some((255, 18)));
        assert_eq!(figures("entries found\n0 0\n"), None);
    }
}
