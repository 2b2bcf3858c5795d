//! The gateways that take turns: the kernel's router, and `tidegate run` by each plane.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::account::Clock;
use crate::hosts::{Hosts, command};
use crate::interrupt;

/// A kind of gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The kernel without rules and without connection tracking: what the hosts themselves take, more or less.
    Plain,
    /// The kernel. What a host sends is forwarded on the processor that sends it.
    Kernel,
    /// The kernel, with packets handed to the other processor on arrival (receive packet steering).
    KernelSpread,
    /// Tidegate with packet sockets, the default.
    Packet,
    /// The same, which looks for packets for a while before it sleeps.
    PacketBusy,
    /// Tidegate with AF_XDP.
    Xdp,
    /// Two workers with packet sockets, on any processor.
    PacketTwo,
    /// Two workers with AF_XDP.
    XdpTwo,
}

impl Kind {
    /// Those that are measured if none are named.
    pub(crate) const USUAL: [Self; 6] =
        [Self::Plain, Self::Kernel, Self::KernelSpread, Self::Packet, Self::PacketBusy, Self::Xdp];

    /// How many workers it has.
    pub(crate) fn workers(self) -> usize {
        match self {
            Self::PacketTwo | Self::XdpTwo => 2,
            Self::Plain
            | Self::Kernel
            | Self::KernelSpread
            | Self::Packet
            | Self::PacketBusy
            | Self::Xdp => 1,
        }
    }

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Kernel => "kernel",
            Self::KernelSpread => "kernel-spread",
            Self::Packet => "packet",
            Self::PacketBusy => "packet-busy",
            Self::Xdp => "xdp",
            Self::PacketTwo => "packet-2",
            Self::XdpTwo => "xdp-2",
        }
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let all = Self::USUAL.into_iter().chain([Self::PacketTwo, Self::XdpTwo]);
        let names = || all.clone().map(Self::name).collect::<Vec<_>>().join(", ");
        all.clone().find(|kind| kind.name() == name).ok_or_else(names)
    }
}

/// The rules of all of them.
const RULES: &str = "*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -m conntrack --ctstate NEW -j ACCEPT
COMMIT
";
const BUSY: [&str; 3] = ["packet", "--busy-poll", "50"];
/// The processor of the client's packets, and the one that is left for the gateway.
pub(crate) const CLIENTS_CPU: usize = 0;
const GATEWAYS_CPU: usize = 1;

/// A gateway that is at work.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Option<Child>,
    place: PathBuf,
}

impl Gateway {
    /// Starts it.
    pub(crate) fn start(kind: Kind, hosts: &Hosts, program: &Path) -> io::Result<Self> {
        Self::start_with(kind, hosts, program, "")
    }

    /// Starts it with settings, which the kernel doesn't heed.
    pub(crate) fn start_with(
        kind: Kind,
        hosts: &Hosts,
        program: &Path,
        settings: &str,
    ) -> io::Result<Self> {
        let place = interrupt::place();
        fs::create_dir_all(&place)?;
        fs::write(place.join("rules"), RULES)?;
        fs::write(place.join("sysctl"), settings)?;
        let mut gateway = Self { child: None, place };
        match kind {
            Kind::Plain => hosts.gateway.set("net/ipv4/ip_forward", "1")?,
            Kind::Kernel => gateway.start_kernel(hosts)?,
            Kind::KernelSpread => {
                gateway.start_kernel(hosts)?;
                spread(hosts)?;
            }
            Kind::Packet => gateway.start_tidegate(&["packet"], hosts, program)?,
            Kind::PacketBusy => gateway.start_tidegate(&BUSY, hosts, program)?,
            Kind::Xdp => gateway.start_tidegate(&["xdp"], hosts, program)?,
            Kind::PacketTwo => {
                gateway.start_tidegate(&["packet", "--workers=2"], hosts, program)?
            }
            Kind::XdpTwo => gateway.start_tidegate(&["xdp", "--workers=2"], hosts, program)?,
        }
        if kind.workers() == 1 {
            gateway.keep_apart()?;
        }
        Ok(gateway)
    }

    fn start_kernel(&self, hosts: &Hosts) -> io::Result<()> {
        let rules = || File::open(self.place.join("rules"));
        let lock = self.place.join("xtables.lock");
        let load = |program: &str| -> io::Result<bool> {
            let mut restore = command(program);
            restore.env("XTABLES_LOCKFILE", &lock).stdin(rules()?);
            Ok(restore.status()?.success())
        };
        hosts.gateway.within(|| {
            let is_loaded =
                load("iptables-legacy-restore").or_else(|_| load("iptables-restore"))?;
            if is_loaded { Ok(()) } else { Err(io::Error::other("the kernel takes no rules")) }
        })?;
        hosts.gateway.set("net/ipv4/ip_forward", "1")
    }

    fn start_tidegate(&mut self, plane: &[&str], hosts: &Hosts, program: &Path) -> io::Result<()> {
        let (rules, log) = (self.place.join("rules"), File::create(self.log())?);
        let _ = fs::remove_file(self.socket());
        let mut run = Command::new(program);
        run.args(["run", "--interface", "lan", "--interface", "wan", "--plane"]).args(plane);
        run.arg("--rules4").arg(&rules).arg("--control").arg(self.socket());
        run.arg("--sysctl").arg(self.place.join("sysctl"));
        run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = hosts.gateway.within(|| run.spawn())?;
        interrupt::remember(child.id());
        self.child = Some(child);
        for _ in 0..500 {
            if self.socket().exists() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other(fs::read_to_string(self.log())?))
    }

    /// Leaves the client's processor to the client, as far as there are others.
    fn keep_apart(&self) -> io::Result<()> {
        match &self.child {
            Some(child) if processors() > 1 => pin(child.id() as i32, GATEWAYS_CPU),
            _ => Ok(()),
        }
    }

    /// Lets it run where the scheduler likes.
    pub(crate) fn release(&self) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let mut all = CpuSet::new();
        (0..processors()).try_for_each(|cpu| all.set(cpu))?;
        Ok(sched_setaffinity(Pid::from_raw(child.id() as i32), &all)?)
    }

    /// Its processor time, if it is a process.
    pub(crate) fn clock(&self) -> Option<Clock> {
        self.child.as_ref().map(|child| Clock::of(child.id()))
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.place.join("control")
    }

    /// Writes rules for the next reload that mean the same: others stand before them, which nothing fits.
    pub(crate) fn change_rules(&self, number: u64) -> io::Result<()> {
        let one = |at: u64| format!("-A FORWARD -s 192.0.2.{}/32 -p udp -j DROP\n", at % 256);
        let more: String = (0..number % 20).map(|at| one(number + at)).collect();
        let (before, after) = RULES.split_at(RULES.find("-A FORWARD").unwrap_or(0));
        fs::write(self.place.join("rules"), format!("{before}{more}{after}"))
    }

    /// What it says.
    fn log(&self) -> PathBuf {
        self.place.join("log")
    }

    /// Starts a command of the user's that looks at it.
    pub(crate) fn beside(&self, line: Option<&str>) -> io::Result<Option<Child>> {
        let Some(line) = line else { return Ok(None) };
        let pid = self.child.as_ref().map_or(String::new(), |child| child.id().to_string());
        Command::new("sh").args(["-c", line]).env("PID", pid).spawn().map(Some)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            interrupt::end();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// Hands what arrives to the gateway's processor.
fn spread(hosts: &Hosts) -> io::Result<()> {
    let mask = if processors() > 1 { 1 << GATEWAYS_CPU } else { 1 };
    hosts.gateway.within(|| {
        // sysfs shows the devices of the network in which it was mounted.
        nix::sched::unshare(
            nix::sched::CloneFlags::CLONE_FS | nix::sched::CloneFlags::CLONE_NEWNS,
        )?;
        let none = None::<&str>;
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(none, "/", none, private, none)?;
        nix::mount::mount(
            Some("sysfs"),
            "/sys",
            Some("sysfs"),
            nix::mount::MsFlags::empty(),
            none,
        )?;
        for port in ["lan", "wan"] {
            let path = format!("/sys/class/net/{port}/queues/rx-0/rps_cpus");
            fs::write(path, format!("{mask:x}"))?;
        }
        Ok(())
    })
}

/// Ties a process or, with 0, the calling thread to a processor.
pub(crate) fn pin(pid: i32, cpu: usize) -> io::Result<()> {
    if cpu >= processors() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(pid), &set)?)
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}
