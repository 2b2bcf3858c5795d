//! The fence where programs for the kernel are forbidden, as in a user namespace: nftables does the same.
//!
//! The table has an owner (`flags owner`), nft(8), which we keep waiting for more: when this process ends, so does that, and
//! the table with it. Nobody else can take the table away; whether its owner lives is watched.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::LinkLayer;
use super::packet::OWN_MARK;

/// A table that lasts as long as this.
#[derive(Debug)]
pub struct Table {
    owner: Child,
    /// Of the owner: readable when he has ended.
    watch: OwnedFd,
}

/// How often, and how long apart, it is looked for.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

impl Table {
    /// Keeps the kernel's stack away from interfaces, but for what the host sends: that goes to the interface `host`, with
    /// its Ethernet header. An interface without one sends what the host sends as it is.
    pub(super) fn new(ports: &[(String, LinkLayer)], host: &str) -> io::Result<Self> {
        let name = format!("tidegate_{}", std::process::id());
        // What a terminal sends to all of our group would end the fence and not us.
        let mut owner = nft(&["-i"]).stdin(Stdio::piped()).process_group(0).spawn()?;
        let Some(mut stdin) = owner.stdin.take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let written = stdin.write_all(text(&name, ports, host).as_bytes());
        owner.stdin = Some(stdin);
        let pid = Pid::from_child(&owner);
        let table = Self { watch: pidfd_open(pid, PidfdFlags::empty())?, owner };
        written?;
        for _ in 0..LOOKS {
            if nft(&["list", "table", "netdev", &name]).status()?.success() {
                return Ok(table);
            }
            std::thread::sleep(PAUSE);
        }
        Err(io::Error::other("nft(8) refuses"))
    }

    /// What becomes readable when the table is no more.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Whether the table is no more.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.owner.try_wait(), Ok(None))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        drop(self.owner.stdin.take());
        let _ = self.owner.wait();
    }
}

fn nft(args: &[&str]) -> Command {
    let mut command = Command::new("nft");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// One line, as nft(8) wants it from whoever types. The kernel takes tags of VLAN 0 off, any number of them.
fn text(name: &str, ports: &[(String, LinkLayer)], host: &str) -> String {
    const DISCOVERY: &str = "icmpv6 type { 133-137 } accept;";
    let mut text = format!("table netdev {name} {{ flags owner; ");
    for (number, (port, header)) in ports.iter().enumerate() {
        let _ = write!(
            text,
            "chain in{number} {{ type filter hook ingress device \"{port}\" priority 0; policy accept; \
             vlan id 1-4095 accept; meta protocol {{ 0x8100, 0x88a8, ip }} drop; {DISCOVERY} meta protocol ip6 drop; }}; "
        );
        if *header == LinkLayer::Ethernet {
            let _ = write!(
                text,
                "chain out{number} {{ type filter hook egress device \"{port}\" priority 0; policy accept; \
                 meta mark {OWN_MARK} accept; vlan id 1-4095 accept; meta protocol != {{ ip, ip6 }} accept; \
                 ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 accept; {DISCOVERY} fwd to \"{host}\"; }}; "
            );
        }
    }
    text + "}\n"
}
