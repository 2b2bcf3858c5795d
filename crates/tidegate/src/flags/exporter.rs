//! The command line of `tidegate exporter`.

use std::time::Duration;

use clap::Args;

use super::place::PlaceArgs;
use crate::exporter::server::Terms;

#[derive(Debug, Args)]
pub(crate) struct ExporterArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9465")]
    pub(crate) listen: String,
    /// Print the page once and end
    #[arg(long, conflicts_with = "listen")]
    pub(crate) once: bool,
    /// With --once: in OpenMetrics instead of Prometheus' text format
    #[arg(long, requires = "once")]
    pub(crate) openmetrics: bool,
    #[command(flatten)]
    pub(crate) terms: TermsArgs,
}

/// What the page holds.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TermsArgs {
    /// Name so many sources, destinations and zones; all others are `other`
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(..=1000))]
    top: u16,
    /// Read the table at most once in so many seconds, however many ask
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    cache: u32,
}

impl TermsArgs {
    /// The same as the server takes it.
    pub(crate) fn terms(self) -> Terms {
        Terms { top: self.top.into(), lasts: Duration::from_secs(self.cache.into()) }
    }
}

pub(crate) const NOTES: &str = "\
The page is at /metrics, in OpenMetrics for those who accept it. Names that node_exporter has are kept. Nobody is asked who he is:
bind to an address that only those reach who may see it.

Exit status: 0 all is well; 1 the address can't be bound, or with --once the table gave no answer; 2 the command line is wrong;
3 not permitted; 4 there is no such namespace, socket or table.";
