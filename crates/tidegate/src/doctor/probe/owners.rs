//! Who is behind an address: the program whose socket has it, and the container or pod of the namespace that it lives
//! in. Only the suspects are looked up.

use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use super::super::census::Source;
use super::super::facts::{Facts, Owner, Whose};
use super::super::foreign;
use super::{machine, sockets};
use crate::client::Place;

/// Looks up those who have most flows.
pub(super) fn name(facts: &mut Facts) {
    if facts.scene.table != Whose::Kernel {
        return;
    }
    let watch = Stopwatch::start();
    let least = facts.census.seen / 50;
    let owners = facts.census.owners.largest(SUSPECTS, |_, group| group.flows > least);
    let suspects: Vec<IpAddr> = owners.into_iter().map(|(source, _)| source.0).collect();
    for address in suspects {
        if watch.elapsed() > PATIENCE {
            facts.blind.because("owners of addresses", "no time left");
            return;
        }
        if let Some(who) = owner(facts, address) {
            facts.owners.push(Owner { address, who });
        }
    }
}

fn owner(facts: &Facts, address: IpAddr) -> Option<String> {
    let is_local = facts.is_local(Source(address));
    if let Some(program) = sockets::program(address).filter(|_| is_local) {
        return Some(program);
    }
    let space = facts.spaces.iter().find(|space| lives_in(address, &space.place))?;
    let place = Place::Kernel(Some(space.place.clone()));
    let program = move || {
        place.enter().ok()?;
        sockets::program(address)
    };
    let program = thread::spawn(program).join().ok().flatten();
    Some(match program {
        Some(program) if !space.who.contains(&program) => format!("{} ({program})", space.who),
        _ => space.who.clone(),
    })
}

fn lives_in(address: IpAddr, place: &str) -> bool {
    let file =
        |name: &str| fs::read_to_string(format!("/proc/{place}/net/{name}")).unwrap_or_default();
    place.parse::<u32>().is_ok()
        && machine::parse_addresses(&file("fib_trie"), &file("if_inet6"))
            .into_iter()
            .any(|own| Source::of(own) == Source(address))
}

/// What a process is: the pod, container or service that its control group names, and its program.
pub(super) fn resident(process: u32) -> String {
    let file =
        |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    let program = format!("{}, pid {process}", foreign::name(&file("comm")));
    let group = file("cgroup");
    let home = home(&group).map(|home| foreign::name(&home));
    let host = || {
        let environment = file("environ");
        environment.split('\0').find_map(|line| line.strip_prefix("HOSTNAME=")).map(foreign::name)
    };
    match home {
        // In a pod the host's name is the pod's.
        Some(home) if home.starts_with("pod ") => {
            format!("pod {} ({program})", host().unwrap_or_else(|| home[4..].to_owned()))
        }
        Some(home) => format!("{home} ({program})"),
        None => program,
    }
}

/// The pod, container or service in a process's control groups.
fn home(groups: &str) -> Option<String> {
    let path = groups
        .lines()
        .filter_map(|line| line.rsplit_once(':'))
        .map(|(_, path)| path)
        .max_by_key(|path| path.len())?;
    let parts = || {
        path.split('/').rev().map(|part| part.trim_end_matches(".scope").trim_end_matches(".slice"))
    };
    let short = |id: &str| id.chars().take(12).collect::<String>();
    if let Some(pod) = parts().find_map(|part| {
        part.rsplit_once("pod").filter(|_| path.contains("kubepods")).map(|(_, id)| id)
    }) {
        return Some(format!("pod {}", short(pod)));
    }
    let container = |part: &str| {
        part.strip_prefix("docker-")
            .or(part.strip_prefix("libpod-"))
            .or(part.strip_prefix("lxc-"))
            .map(short)
    };
    if let Some(id) = parts().find_map(container) {
        return Some(format!("container {id}"));
    }
    let mut all = path.split('/').rev();
    if path.contains("/docker/") {
        return all.next().map(|id| format!("container {}", short(id)));
    }
    all.find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// As many are looked up.
const SUSPECTS: usize = 3;
const PATIENCE: Duration = Duration::from_millis(700);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_names_pod_container_or_service() {
        let rows = [
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b2c3d_4e5f_6789.slice/cri-containerd-abc.scope",
                Some("pod 0a1b2c3d_4e5"),
            ),
            ("0::/system.slice/docker-0123456789abcdef.scope", Some("container 0123456789ab")),
            ("12:memory:/docker/fedcba9876543210", Some("container fedcba987654")),
            ("0::/system.slice/nginx.service", Some("nginx.service")),
            ("0::/user.slice/user-0.slice/session-1.scope", None),
            ("0::/", None),
        ];
        for (group, expected) in rows {
            assert_eq!(home(group).as_deref(), expected, "{group}");
        }
    }
}
