//! Three namespaces with cables between them.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::addresses::{BEHIND, CLIENT, INSIDE, OUTSIDE, SERVER, mac_of};

/// A network of its own.
#[derive(Debug)]
pub(crate) struct Network(OwnedFd);

/// All three.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// The client's.
    pub(crate) client: Network,
    /// The gateway's.
    pub(crate) gateway: Network,
    /// The server's.
    pub(crate) server: Network,
}

impl Network {
    fn create() -> io::Result<Self> {
        let make = || -> io::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        };
        let made = thread::scope(|scope| scope.spawn(make).join());
        let network = Self(made.unwrap_or_else(|panic| resume_unwind(panic))?);
        network.call("ip", &["link", "set", "lo", "up"])?;
        Ok(network)
    }

    /// Takes the calling thread into it.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }

    /// Does something in it: sockets that are made there stay there, and so do programs.
    pub(crate) fn within<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let work = || self.enter().and_then(|()| work());
        let done = thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// What a program there printed; it must succeed.
    pub(crate) fn call(&self, program: &str, args: &[&str]) -> io::Result<String> {
        self.within(|| {
            let output = command(program).args(args).output();
            let output = output.map_err(|error| io::Error::other(format!("{program}: {error}")))?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("{program} {}: {complaint}", args.join(" "))))
        })
    }

    /// Writes a setting of it.
    pub(crate) fn set(&self, name: &str, value: &str) -> io::Result<()> {
        self.within(|| std::fs::write(format!("/proc/sys/{name}"), value))
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

impl Hosts {
    /// Makes them, with addresses and routes, and cables that have so many queues.
    pub(crate) fn build(queues: usize) -> io::Result<Self> {
        let (client, gateway, server) =
            (Network::create()?, Network::create()?, Network::create()?);
        let hosts = Self { client, gateway, server };
        hosts.plug(("lan", queues), &hosts.client, [CLIENT, INSIDE], BEHIND[0])?;
        hosts.plug(("wan", queues), &hosts.server, [SERVER, OUTSIDE], BEHIND[1])?;
        Ok(hosts)
    }

    /// Joins a host to a port of the gateway, which is its router.
    fn plug(
        &self,
        (port, queues): (&str, usize),
        host: &Network,
        [own, router]: [Ipv4Addr; 2],
        behind: &str,
    ) -> io::Result<()> {
        let ip = |network: &Network, line: &str| {
            network.call("ip", &line.split_whitespace().collect::<Vec<_>>()).map(drop)
        };
        let (near, far, space) = (mac_of(router), mac_of(own), host.path());
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        let near = format!("link add {port} address {near} {queues} type veth");
        let pair = format!("{near} peer name eth0 address {far} netns {space} {queues}");
        ip(&self.gateway, &pair)?;
        ip(&self.gateway, &format!("address add {router}/24 dev {port}"))?;
        ip(&self.gateway, &format!("link set {port} up"))?;
        ip(host, &format!("address add {own}/24 dev eth0"))?;
        ip(host, "link set eth0 up")?;
        ip(host, &format!("route add default via {router}"))?;
        ip(&self.gateway, &format!("route add {behind} via {own}"))
    }

    /// Waits until a datagram has come through: gateway and neighbours are at work then.
    pub(crate) fn greet(&self) -> io::Result<()> {
        let bind = |own| move || UdpSocket::bind((own, 7));
        let (client, server) =
            (self.client.within(bind(CLIENT))?, self.server.within(bind(SERVER))?);
        server.set_read_timeout(Some(Duration::from_millis(200)))?;
        for _ in 0..PATIENCE {
            client.send_to(&[0; 18], (SERVER, 7))?;
            if server.recv(&mut [0; 64]).is_ok() {
                return Ok(());
            }
        }
        Err(io::Error::other("nothing comes through the gateway"))
    }
}

/// How many greetings may be lost.
const PATIENCE: usize = 50;

/// A program that is looked for among the system's own as well.
pub(crate) fn command(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
