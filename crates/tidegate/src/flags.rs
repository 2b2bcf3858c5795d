//! The command line, defined once: `--help`, man pages, completions and the parser can't disagree.

pub(crate) mod filter;
pub(crate) mod output;
pub(crate) mod place;
pub(crate) mod table;
pub(crate) mod tuple;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tidegate_gateway::replay::Inputs;

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
    /// Show or delete expectations
    #[command(subcommand, after_help = TABLE_NOTES)]
    Expect(ExpectCommand),
    /// Show or change settings of connection tracking
    #[command(after_help = TABLE_NOTES)]
    Sysctl(SysctlArgs),
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
pub(crate) struct ReplayArgs {
    /// A capture (pcap or pcapng; `-` is stdin), a scenario directory, or a tree of them
    #[arg(value_name = "FILE|DIR")]
    pub(crate) input: PathBuf,

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

impl ReplayArgs {
    /// The files that the user gives to the replay.
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

const TABLE_NOTES: &str = "\
The table is the kernel's in the current network namespace, unless --netns or --socket says otherwise.
Data goes to stdout, talk to stderr. Nothing is changed before the command is repeated with --yes.

Exit status: 0 all is well; 1 there is no such entry, or it was not done; 2 the command line is wrong;
3 not permitted; 4 there is no such namespace, socket or table; 5 done in part: stderr says which.";
