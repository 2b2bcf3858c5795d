//! The command line of `tidegate top`.

use clap::Args;

use super::filter::FilterArgs;
use super::place::PlaceArgs;
use crate::top::column::Order;
use crate::top::group::By;

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Only these flows, as ss or tcpdump say it: state established '( dport = :443 or src 10/8 )'
    #[arg(value_name = "EXPRESSION")]
    pub(crate) words: Vec<String>,
    /// Print one page of text instead of a screen; if flows are counted, after two looks
    #[arg(short = '1', long)]
    pub(crate) single: bool,
    /// Seconds from one look to the next
    #[arg(short = 'R', long, value_name = "SECONDS", default_value = "1")]
    pub(crate) rate: f64,
    /// Show groups instead of flows
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) by: Option<By>,
    /// Sort by one or two columns; with `-` in front from the largest to the smallest
    #[arg(
        short = 'b', long, value_name = "COLUMN", value_delimiter = ',', allow_hyphen_values = true, value_parser = Order::read
    )]
    pub(crate) sort: Vec<Order>,
    /// Leave out what the machine says to itself
    #[arg(long)]
    pub(crate) no_loopback: bool,
    /// Leave out the totals
    #[arg(short = 't', long)]
    pub(crate) no_totals: bool,
    /// Leave out packets and bytes
    #[arg(short = 'C', long)]
    pub(crate) no_counters: bool,
    /// Show names instead of addresses, looked up in the background (not with --single)
    #[arg(long, conflicts_with = "single")]
    pub(crate) lookup: bool,
    /// With --single: at most so many rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) rows: usize,
    /// With --single: so many columns of text [default: the terminal's, or 160]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=1000))]
    pub(crate) width: Option<u16>,
}

pub(crate) const NOTES: &str = "\
Keys are those of iptstate: b and B sort, r reverses, s d S D filter, f leaves out the loopback, t C l switch totals, counters and
names, x deletes a flow after asking, R changes the rate, space looks at once, h shows all of them, q quits. g groups by source,
destination, port, state, process, container or zone, and Enter opens a group. `/' takes an expression as ss and tcpdump do.

Rates come from the table's counters: where nf_conntrack_acct is 0 nobody counts, and it is said so.";
