//! The command line of what is done to a table.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::filter::{FamilyArg, FilterArgs};
use super::output::OutputArgs;
use super::place::{PlaceArgs, WatchArgs};
use super::tuple::{ChangeArgs, NewArgs, TupleArgs};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Sort by these, the first first; with `-` in front from the largest to the smallest
    #[arg(
        long, value_enum, value_name = "KEY", value_delimiter = ',', allow_hyphen_values = true, value_parser = SortKey::read
    )]
    pub(crate) sort: Vec<SortKey>,
    /// Show only the first N; they are sorted by -bytes if nothing else is said
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// Count flows by these instead of showing them, such as src,dport
    #[arg(long, value_enum, value_name = "KEY", value_delimiter = ',', conflicts_with = "sort")]
    pub(crate) by: Vec<Column>,
    /// Set the counters to zero while they are shown
    #[arg(short, long)]
    pub(crate) zero: bool,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// Something that flows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SortKey {
    /// What.
    pub(crate) column: Column,
    /// From the largest to the smallest.
    pub(crate) descends: bool,
}

impl SortKey {
    fn read(word: &str) -> Result<Self, String> {
        let (name, descends) = word.strip_prefix('-').map_or((word, false), |name| (name, true));
        Column::from_str(name, false).map(|column| Self { column, descends }).map_err(|_| {
            let names: Vec<_> = Column::value_variants()
                .iter()
                .filter_map(|column| column.to_possible_value())
                .map(|value| value.get_name().to_owned())
                .collect();
            format!("flows can be sorted by {}", names.join(", "))
        })
    }
}

/// What flows are sorted or counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// Address family
    Family,
    /// Protocol
    Proto,
    /// State of the tracker
    State,
    /// Source address
    Src,
    /// Destination address
    Dst,
    /// Source port
    Sport,
    /// Destination port
    Dport,
    /// Source address of the replies
    ReplySrc,
    /// Destination address of the replies
    ReplyDst,
    /// Rest of its life
    Timeout,
    /// Time since it began
    Age,
    /// Packets of both directions
    Packets,
    /// Bytes of both directions
    Bytes,
    /// Mark
    Mark,
    /// Zone of both directions
    Zone,
    /// The entry's number
    Id,
}

#[derive(Debug, Args)]
#[command(mut_arg("read", |arg| arg.short('r')))]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) tuple: TupleArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// The tuple is that of the replies
    #[arg(long)]
    pub(crate) reply: bool,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InsertArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) tuple: TupleArgs,
    #[command(flatten)]
    pub(crate) new: NewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Do it; without this it is only shown what would be changed
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Do it; without this it is only shown what would be deleted
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FlushArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only flows of this address family
    #[arg(short, long, value_enum)]
    pub(crate) family: Option<FamilyArg>,
    /// Do it; without this it is only said how many would be deleted
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Which events; several by commas
    #[arg(short, long = "event-mask", value_enum, value_name = "EVENT", value_delimiter = ',')]
    pub(crate) events: Vec<EventArg>,
    /// Events of expectations instead of flows
    #[arg(long)]
    pub(crate) expect: bool,
    /// Mark in the output where events were lost; else it is only said on stderr
    #[arg(long)]
    pub(crate) gap: bool,
    /// Stop after so many events
    #[arg(short = 'c', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Begin behind the event of this number, if the engine remembers it (needs --socket)
    #[arg(long, value_name = "NUMBER", requires = "socket")]
    pub(crate) after: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventArg {
    /// New ones
    New,
    /// Changed ones
    #[value(alias = "updates")]
    Update,
    /// Ended ones
    Destroy,
    /// All of these
    All,
}

#[derive(Debug, Args)]
#[command(mut_arg("read", |arg| arg.short('r')))]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Of each processor, in the lines of `conntrack -S`
    #[arg(long)]
    pub(crate) per_cpu: bool,
    /// Say how much a second, measured over so long
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", require_equals = true)]
    pub(crate) rate: Option<f64>,
    /// Say what each counter means
    #[arg(long, short)]
    pub(crate) meaning: bool,
    /// One JSON object
    #[arg(long, short)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

#[derive(Debug, Args)]
#[command(mut_arg("read", |arg| arg.short('r')))]
pub(crate) struct CountArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Say as well how many there may be
    #[arg(long)]
    pub(crate) max: bool,
    /// One JSON object
    #[arg(long, short)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

// A definition is only made when its command is asked for.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum ExpectCommand {
    /// Show expectations, as `conntrack -L expect` does
    List(ExpectListArgs),
    /// Delete those of a helper or a family, or one by its tuple: a dry run first
    Delete(ExpectDeleteArgs),
    /// Delete all: a dry run first
    Flush(ExpectFlushArgs),
}

/// Which expectations.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExpectFilterArgs {
    /// Address family
    #[arg(short, long, value_enum)]
    pub(crate) family: Option<FamilyArg>,
    /// Helper, such as ftp
    #[arg(long, value_name = "NAME")]
    pub(crate) helper: Option<String>,
    /// Destination port that is expected
    #[arg(long, value_name = "PORT")]
    pub(crate) dport: Option<u16>,
}

#[derive(Debug, Args)]
#[command(mut_arg("read", |arg| arg.short('r')))]
pub(crate) struct ExpectListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: ExpectFilterArgs,
    /// One JSON object a line
    #[arg(long, short)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExpectDeleteArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: ExpectFilterArgs,
    /// Do it; without this it is only shown what would be deleted
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExpectFlushArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Do it; without this it is only said how many would be deleted
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(mut_arg("read", |arg| arg.short('r')))]
pub(crate) struct SysctlArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Settings to show, or to change if there is `=`; all if none is named
    #[arg(value_name = "NAME[=VALUE]")]
    pub(crate) settings: Vec<String>,
    /// Change what the lines of a file say, as in sysctl.conf; `-` is stdin
    #[arg(short = 'p', long = "load", value_name = "FILE", conflicts_with = "settings")]
    pub(crate) load: Vec<PathBuf>,
    /// Show values without names
    #[arg(short = 'n', long)]
    pub(crate) values: bool,
    /// One JSON object
    #[arg(long, short, conflicts_with = "values")]
    pub(crate) json: bool,
    /// Only show what would be changed, and from what
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For those used to sysctl(8), where it says that values are written: they are anyway
    #[arg(short = 'w', long, hide = true)]
    pub(crate) write: bool,
    /// For those used to sysctl(8): all settings are shown if none is named
    #[arg(short = 'a', long, hide = true)]
    pub(crate) all: bool,
}
