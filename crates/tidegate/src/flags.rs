//! The command line, defined once: `--help` and the parser can't disagree.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_gateway::replay::Inputs;

/// Connection tracking, stateful firewall and NAT in user space.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a capture through the engine and show what Linux would make of it
    #[command(after_help = REPLAY_NOTES)]
    Replay(ReplayArgs),

    /// Keep an engine going and serve its control socket
    #[command(after_help = RUN_NOTES)]
    Run(RunArgs),

    /// Run conntrack(8), iptstate or any such program on an engine instead of the kernel
    #[command(after_help = EXEC_NOTES)]
    Exec(ExecArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A capture (pcap or pcapng; `-` is stdin), a scenario directory, or a tree of them
    #[arg(value_name = "FILE|DIR")]
    pub(crate) input: PathBuf,

    #[command(flatten)]
    inputs: InputArgs,

    /// What to show [default: summary for a capture, jsonl for scenarios]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,

    /// Show summary or stats as JSON
    #[arg(long, short)]
    pub(crate) json: bool,

    /// Show every step that packet N took, and nothing else; the first packet is 0
    #[arg(long, value_name = "N", conflicts_with_all = ["format", "json"])]
    pub(crate) explain: Option<u64>,

    /// Write what left to a pcapng file; its interfaces are the two ports
    #[arg(long, value_name = "FILE")]
    pub(crate) write_pcap: Option<PathBuf>,

    /// Size of the table that the summary's forecast is about
    #[arg(long, value_name = "FLOWS", default_value_t = 262_144)]
    pub(crate) table_size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The control socket
    #[arg(long, value_name = "PATH", default_value = "/run/tidegate.sock")]
    pub(crate) control: PathBuf,

    /// The control socket's mode: who may look
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = octal)]
    pub(crate) mode: u32,

    /// The number of the group that the control socket belongs to
    #[arg(long, value_name = "GID")]
    pub(crate) group: Option<u32>,

    /// The number of the group whose members may change everything; besides root and the user that runs this
    #[arg(long, value_name = "GID")]
    pub(crate) admin_group: Option<u32>,

    /// Take packets from a capture
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Play the capture as it was recorded, not as fast as it goes
    #[arg(long, requires = "pcap")]
    pub(crate) recorded_pace: bool,

    /// How many events are kept for listeners who are behind
    #[arg(long, value_name = "EVENTS", default_value_t = 16_384)]
    pub(crate) backlog: usize,

    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The engine's control socket
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/tidegate.sock",
        env = "TIDEGATE_SOCKET"
    )]
    pub(crate) socket: PathBuf,

    /// The library that is preloaded [default: beside this program, or in ../lib]
    #[arg(long, value_name = "FILE")]
    pub(crate) library: Option<PathBuf>,

    /// The program and its arguments, behind `--`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

const EXEC_NOTES: &str = "\
A program that is statically linked, or changes its user when it starts, can't be taken to the engine in this way; it
is not run then.

Exit status: that of the program; 1 if it can't be run.";

fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "not an octal number up to 777".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// IPv4 rules, as iptables-save prints them
    #[arg(long, value_name = "FILE")]
    rules4: Option<PathBuf>,

    /// IPv6 rules, as ip6tables-save prints them
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,

    /// Settings, as in sysctl.conf
    #[arg(long, value_name = "FILE")]
    sysctl: Option<PathBuf>,

    /// Sets, as `ipset save` writes them
    #[arg(long, value_name = "FILE")]
    ipset: Option<PathBuf>,

    /// Timeout policies, as lines for nfct: `add timeout NAME inet tcp established 100`
    #[arg(long, value_name = "FILE")]
    timeouts: Option<PathBuf>,
}

impl InputArgs {
    /// The files that the user gives.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs {
            rules4: self.rules4.clone(),
            rules6: self.rules6.clone(),
            sysctl: self.sysctl.clone(),
            sets: self.ipset.clone(),
            timeouts: self.timeouts.clone(),
        }
    }
}

const RUN_NOTES: &str = "\
The socket speaks ctnetlink, a datagram in each packet (SOCK_SEQPACKET). SIGHUP reads rules and settings again; if a
file is at fault all stays as it is, and flows stay in any case. SIGTERM and SIGINT end it.

Exit status: 0 it was told to stop, 1 a file or the socket is at fault, 2 the command line is.";

impl ReplayArgs {
    /// The files that the user gives to the replay.
    pub(crate) fn inputs(&self) -> Inputs {
        self.inputs.inputs()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a packet: state, verdict, flow, events, what left
    Jsonl,
    /// The table at the end, as /proc/net/nf_conntrack
    Proc,
    /// The expectations at the end, as /proc/net/nf_conntrack_expect
    Expect,
    /// What happened to flows, as `conntrack -E -o timestamp`
    Events,
    /// Counters at the end: those of `conntrack -S`, drops and INVALID by reason
    Stats,
    /// Figures and findings for people
    Summary,
}

const REPLAY_NOTES: &str = "\
In a plain capture every packet comes in by port in0 and leaves by out0, nothing is addressed to the
router itself, a TTL or hop limit below 2 is raised to 2, and checksums that the sender left to its
network card are completed: what counts is conntrack and the rules. A scenario directory holds
packets.pcap and, as needed, rules.v4, rules.v6, sysctl.conf, ipset.save, timeouts.nfct,
topology.conf, control.jsonl and patch.json.

Exit status: 0 all is well, 1 a file is at fault (what comes before the fault in a capture is shown
all the same), 2 the command line is.";
