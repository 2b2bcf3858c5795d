//! The command lines of `what-if` and `plan`.

use std::path::PathBuf;

use clap::Args;

use super::filter::FilterArgs;
use super::place::PlaceArgs;
use crate::filter::timeout;

#[derive(Debug, Args)]
pub(crate) struct WhatIfArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// A setting that would be other, such as tcp_timeout_established=2h4m or max=1000000; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = Wish::read)]
    pub(crate) set: Vec<Wish>,
    /// How far to look ahead
    #[arg(long = "for", value_name = "TIME", value_parser = timeout, default_value = "1h")]
    pub(crate) horizon: u32,
    /// How many flows come for each that ends; 0: none, only those that are there are looked at
    #[arg(long, value_name = "FACTOR", value_parser = factor, default_value = "1")]
    pub(crate) growth: f64,
    /// Draw it to a file as well: as SVG or PNG, as the end of its name says
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// One JSON object
    #[arg(long, short)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(mut_arg("read", |arg| arg.short('r')))]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How full the table shall be, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100), default_value_t = 50)]
    pub(crate) fill: u8,
    /// How many times as many flows there will be
    #[arg(long, value_name = "FACTOR", value_parser = factor, default_value = "2")]
    pub(crate) growth: f64,
    /// A timeout that shall be other; may be repeated
    #[arg(long, value_name = "NAME=TIME", value_parser = Wish::read)]
    pub(crate) set: Vec<Wish>,
    /// Leave all timeouts as they are that aren't named
    #[arg(long)]
    pub(crate) keep_timeouts: bool,
}

/// A setting that would have another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Its name behind `net.netfilter.nf_conntrack_`.
    pub(crate) name: String,
    /// Its value: seconds, or a number.
    pub(crate) value: u64,
}

impl Wish {
    fn read(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}' is not like tcp_timeout_established=7440");
        let (name, value) = text.split_once('=').ok_or_else(bad)?;
        let name = name.trim().replace('/', ".");
        let name = name.strip_prefix("net.netfilter.").unwrap_or(&name);
        let name = name.strip_prefix("nf_conntrack_").unwrap_or(name).to_owned();
        let value = value.trim();
        let value = match value.parse() {
            Ok(number) => number,
            Err(_) if name.contains("timeout") => {
                timeout(value).map_err(|bad| bad.to_string())?.into()
            }
            Err(_) => return Err(bad()),
        };
        if name.is_empty() { Err(bad()) } else { Ok(Self { name, value }) }
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| format!("`{text}' is no factor such as 1.5"))
}

pub(crate) const WHAT_IF_NOTES: &str = "\
Nothing is changed. From one listing, or a snapshot (-r FILE), it is told how many flows there would be now had the
settings been so all along, and how many from now on; what would find no room; ports in use of each external address
toward each destination; memory. How, and on what assumptions, is told in docs/what-if.md.

Exit status: 0 all is well; 1 a file is at fault; 2 the command line is wrong; 3 not permitted; 4 there is no such
namespace, socket or table.";

pub(crate) const PLAN_NOTES: &str = "\
Prints a file for /etc/sysctl.d, with its arithmetic in comments. Nothing is changed.

Exit status: 0 all is well; 1 a file is at fault; 2 the command line is wrong; 3 not permitted; 4 there is no such
namespace, socket or table.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_may_be_written_in_many_ways() {
        let rows = [
            ("max=100", "max", 100),
            ("nf_conntrack_max=100", "max", 100),
            ("net.netfilter.nf_conntrack_udp_timeout = 30", "udp_timeout", 30),
            ("tcp_timeout_established=2h4m", "tcp_timeout_established", 7440),
        ];
        for (text, name, value) in rows {
            assert_eq!(Wish::read(text), Ok(Wish { name: name.to_owned(), value }), "{text}");
        }
        for text in ["max", "=5", "max=2h", "udp_timeout=x"] {
            assert!(Wish::read(text).is_err(), "{text}");
        }
    }
}
