//! The options of the lab, and of the page that shows a table.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::place::PlaceArgs;

#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// End after so many seconds [default: with SIGINT, or with the command]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: Option<u32>,

    /// Who forwards between client and server
    #[arg(long, value_enum, default_value_t = Router::Tidegate)]
    pub(crate) gateway: Router,

    /// IPv4 rules instead of the example's, as iptables-save prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) rules4: Option<PathBuf>,

    /// IPv6 rules instead of the example's
    #[arg(long, value_name = "FILE")]
    pub(crate) rules6: Option<PathBuf>,

    /// Let so many threads of the gateway share the packets, by cables with as many queues
    #[arg(long, value_name = "N", default_value_t = 1, env = "TIDEGATE_WORKERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,

    /// An option more for the gateway's `tidegate run', such as --gateway-arg=--plane=tun
    #[arg(long, value_name = "OPTION")]
    pub(crate) gateway_arg: Vec<OsString>,

    /// Where the page is, in the network of who starts this; port 0 is any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) page: SocketAddr,

    /// No page
    #[arg(long, conflicts_with = "page")]
    pub(crate) no_page: bool,

    /// Run this by `sh -c' on the server as well, and end it at the end
    #[arg(long, value_name = "COMMAND", requires = "command")]
    pub(crate) server: Option<OsString>,

    /// The summary as an object of JSON, and nothing else
    #[arg(long, short)]
    pub(crate) json: bool,

    /// Run this on the client instead of the lab's own traffic, and end with its status
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["seconds", "json"])]
    pub(crate) command: Vec<OsString>,

    /// Where the first process has put the files; for the second one only
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) inside: Option<PathBuf>,
}

impl LabArgs {
    /// Whether the rules are not the example's.
    pub(crate) fn has_own_rules(&self) -> bool {
        self.rules4.is_some() || self.rules6.is_some()
    }
}

/// Who forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Router {
    /// `tidegate run' of this program
    Tidegate,
    /// The kernel, with the same rules loaded by iptables-restore: the control experiment
    Kernel,
}

impl Router {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::Kernel => "kernel",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Where the page is; port 0 is any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8473")]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

pub(crate) const LAB_NOTES: &str = "\
Client, gateway and server are network namespaces with cables between them; nothing of the machine's own network is
touched. It takes root, or user namespaces for everybody. The client is 10.77.1.2 and fd77:1::2, the server 203.0.113.2
and 2001:db8:77::2; they answer HTTP (port 80), DNS (53), echo (UDP, 7) and bulk transfers (9000). The gateway masquerades
the client, forwards its outer port 8080 to the client's HTTP, and refuses all else from outside.

    tidegate lab --seconds 10
    tidegate lab -- curl http://203.0.113.2/
    tidegate lab --server 'iperf3 -s' -- iperf3 -c 203.0.113.2
    tidegate lab --gateway kernel --seconds 10

Exit status: 0 every check of the traffic held, 1 one did not, or the lab could not be built, 2 the command line is wrong;
with a command its own, 127 if there is none of that name, 128 and a signal's number if it was killed.";

pub(crate) const PAGE_NOTES: &str = "\
The table is the kernel's in the current network namespace, unless --netns or --socket says otherwise. The page changes
nothing, and answers only those who call it by an address or as localhost. Whoever reaches it may read the table: leave it
at a loopback address, or put a server in front of it that asks who is there.

Exit status: 0 it was told to stop, 1 the system doesn't let it, 3 not permitted, 4 there is no such table.";
