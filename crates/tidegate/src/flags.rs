//! The command line, defined once: `--help`, man pages, completions and the parser can't disagree.

pub(crate) mod doctor;
pub(crate) mod exporter;
pub(crate) mod filter;
pub(crate) mod forecast;
pub(crate) mod lab;
pub(crate) mod output;
pub(crate) mod packet;
pub(crate) mod place;
pub(crate) mod retime;
pub(crate) mod run;
pub(crate) mod snapshot;
pub(crate) mod table;
pub(crate) mod top;
pub(crate) mod tuple;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tidegate_gateway::replay::Inputs;

use self::doctor::DoctorArgs;
use self::forecast::{PlanArgs, WhatIfArgs};
use self::lab::{LabArgs, PageArgs};
use self::packet::ExplainArgs;
use self::place::{EngineArgs, PlaceArgs};
use self::retime::RetimeArgs;
use self::run::{CheckArgs, ReloadArgs, RunArgs, SetsArgs};
use self::snapshot::{RecordArgs, SnapshotArgs};
use self::table::{
    CountArgs, DeleteArgs, EventsArgs, ExpectCommand, FlushArgs, GetArgs, InsertArgs, ListArgs,
    StatsArgs, SysctlArgs, UpdateArgs,
};

/// Connection tracking, stateful firewall and NAT in user space.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

// A definition is only made when its command is asked for.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Run a capture through the engine and show what Linux would make of it
    #[command(after_help = REPLAY_NOTES)]
    Replay(ReplayArgs),
    /// Forward packets, or keep an engine going without any, and serve its control socket
    #[command(after_help = run::NOTES)]
    Run(Box<RunArgs>),
    /// Say what is wrong with a gateway's file and all the files that it names
    #[command(after_help = run::CHECK_NOTES)]
    Check(CheckArgs),
    /// Have a running gateway read its rules and settings again
    #[command(after_help = run::RELOAD_NOTES)]
    Reload(ReloadArgs),
    /// Make, fill and empty the sets of a running gateway
    #[command(after_help = run::SETS_NOTES)]
    Sets(SetsArgs),
    /// Show what would become of a packet, step by step, and change nothing
    #[command(after_help = packet::NOTES)]
    Explain(Box<ExplainArgs>),
    /// Say what is wrong with a table, who does it, and what to do about it
    #[command(after_help = doctor::NOTES)]
    Doctor(DoctorArgs),
    /// Show the flows of a table
    #[command(after_help = TABLE_NOTES)]
    List(Box<ListArgs>),
    /// Show one flow
    #[command(after_help = TABLE_NOTES)]
    Get(GetArgs),
    /// Make a flow
    #[command(after_help = TABLE_NOTES)]
    Insert(Box<InsertArgs>),
    /// Change flows: a dry run first
    #[command(after_help = TABLE_NOTES)]
    Update(Box<UpdateArgs>),
    /// Delete flows: a dry run first
    #[command(after_help = TABLE_NOTES)]
    Delete(Box<DeleteArgs>),
    /// Let idle flows drain, and keep live ones: a dry run first
    #[command(after_help = retime::RETIME_NOTES)]
    Retime(Box<RetimeArgs>),
    /// Delete all flows: a dry run first
    #[command(after_help = TABLE_NOTES)]
    Flush(FlushArgs),
    /// Show what happens to flows or expectations, while it happens
    #[command(after_help = TABLE_NOTES)]
    Events(Box<EventsArgs>),
    /// Show a table's statistics, and what they mean
    #[command(after_help = TABLE_NOTES)]
    Stats(StatsArgs),
    /// Show how many flows there are
    #[command(after_help = TABLE_NOTES)]
    Count(CountArgs),
    /// Write a table to a file, which every command that reads tables takes with -r
    #[command(after_help = snapshot::SNAPSHOT_NOTES)]
    Snapshot(Box<SnapshotArgs>),
    /// Keep a table's history on disk: snapshots, and what happens between
    #[command(after_help = snapshot::RECORD_NOTES)]
    Record(RecordArgs),
    /// Show what a table would hold under other settings
    #[command(after_help = forecast::WHAT_IF_NOTES)]
    WhatIf(Box<WhatIfArgs>),
    /// Print settings for what shall come, with their arithmetic
    #[command(after_help = forecast::PLAN_NOTES)]
    Plan(PlanArgs),
    /// Show a table as it lives, on a full screen, with rates
    #[command(after_help = top::NOTES)]
    Top(Box<top::TopArgs>),
    /// Serve a table's figures to Prometheus
    #[command(after_help = exporter::NOTES)]
    Exporter(exporter::ExporterArgs),
    /// Show or delete expectations
    #[command(subcommand, after_help = TABLE_NOTES)]
    Expect(ExpectCommand),
    /// Show or change settings of connection tracking
    #[command(after_help = TABLE_NOTES)]
    Sysctl(SysctlArgs),
    /// Run a program that speaks ctnetlink, such as conntrack(8), against an engine
    #[command(after_help = EXEC_NOTES)]
    Exec(ExecArgs),
    /// Serve a table's files as in /proc, over FUSE: for scripts, sysctl and node_exporter
    #[command(after_help = PROCFS_NOTES)]
    Procfs(ProcfsArgs),
    /// Watch a stateful firewall with NAT between real TCP/IP stacks, in namespaces of its own
    #[command(after_help = lab::LAB_NOTES)]
    Lab(Box<LabArgs>),
    /// Serve a page that shows a table: flows, fill, states, talkers, reasons of drops
    #[command(after_help = lab::PAGE_NOTES)]
    Page(PageArgs),
    /// Print what a shell needs to complete the command line
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print a manual page, or write all of them to a directory
    Man {
        /// Of which command, such as list or `expect list`; of the program if none is named
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
        /// Write all pages to this directory
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,

    /// The shim [default: libtidegate_preload.so beside tidegate or in ../lib/tidegate]
    #[arg(long, value_name = "FILE", env = "TIDEGATE_PRELOAD")]
    pub(crate) preload: Option<PathBuf>,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ProcfsArgs {
    /// The directory that the files shall be in
    pub(crate) mountpoint: PathBuf,

    /// Let all users in, as the files' modes say
    #[arg(long)]
    pub(crate) allow_other: bool,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
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

    /// Show every step that packet N took, and nothing else; the first packet is 0. `traced' shows
    /// those of all packets that a TRACE rule met
    #[arg(long, value_name = "N|traced", conflicts_with_all = ["format", "json"])]
    pub(crate) explain: Option<Explain>,

    /// Write what left to a pcapng file; its interfaces are the two ports
    #[arg(long, value_name = "FILE")]
    pub(crate) write_pcap: Option<PathBuf>,

    /// Write what NFLOG rules copied to a pcapng file, as tcpdump does on `nflog'
    #[arg(long, value_name = "FILE")]
    pub(crate) write_nflog: Option<PathBuf>,

    /// Size of the table that the summary's forecast is about
    #[arg(long, value_name = "FLOWS", default_value_t = 262_144)]
    pub(crate) table_size: u64,
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

    /// Names of labels, as in connlabel.conf
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
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
            labels: self.labels.clone(),
        }
    }
}

/// Whose steps to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explain {
    /// Those of the packet with this number.
    Packet(u64),
    /// Those of all packets that a TRACE rule met.
    Traced,
}

impl FromStr for Explain {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "traced" => Ok(Self::Traced),
            _ => word
                .parse()
                .map(Self::Packet)
                .map_err(|_| "neither a packet's number nor `traced'".to_owned()),
        }
    }
}

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

const EXEC_NOTES: &str = "\
The program's netlink sockets of netfilter lead to the engine; everything else it does is as without.
It must be linked dynamically and gain no privileges when it starts, or it would not take the shim.

Exit status: the program's own; 126 if it can't be led to an engine, 127 if there is no such program.";

const PROCFS_NOTES: &str = "\
There are net/nf_conntrack, net/nf_conntrack_expect, net/stat/nf_conntrack and, below sys, all
settings: with their names, modes and errors as in /proc. The files stay until SIGINT, SIGTERM,
SIGHUP or `umount'. node_exporter takes the directory as its --path.procfs; over the machine's own
files they can be bound in a mount namespace: `mount --bind DIR/sys/net/netfilter
/proc/sys/net/netfilter'.";

const REPLAY_NOTES: &str = "\
In a plain capture every packet comes in by port in0 and leaves by out0, nothing is addressed to the
router itself, a TTL or hop limit below 2 is raised to 2, and checksums that the sender left to its
network card are completed: what counts is conntrack and the rules. A scenario directory holds
packets.pcap and, as needed, rules.v4, rules.v6, sysctl.conf, ipset.save, timeouts.nfct,
connlabel.conf, topology.conf, control.jsonl and patch.json.

Exit status: 0 all is well, 1 a file is at fault (what comes before the fault in a capture is shown
all the same), 2 the command line is.";

const TABLE_NOTES: &str = "\
The table is the kernel's in the current network namespace, unless --netns or --socket says otherwise.
Data goes to stdout, talk to stderr. Nothing is changed before the command is repeated with --yes.

Exit status: 0 all is well; 1 there is no such entry, or it was not done; 2 the command line is wrong;
3 not permitted; 4 there is no such namespace, socket or table; 5 done in part: stderr says which.";
