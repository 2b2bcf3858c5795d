//! The commands, one file each.

mod change;
pub(crate) mod check;
pub(crate) mod count;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod expect;
pub(crate) mod explain;
pub(crate) mod exporter;
pub(crate) mod flush;
pub(crate) mod forecast;
pub(crate) mod get;
pub(crate) mod insert;
pub(crate) mod lab;
pub(crate) mod list;
pub(crate) mod manual;
pub(crate) mod page;
pub(crate) mod procfs;
pub(crate) mod record;
pub(crate) mod reload;
pub(crate) mod replay;
pub(crate) mod retime;
pub(crate) mod run;
pub(crate) mod sets;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod sysctl;
pub(crate) mod top;
pub(crate) mod update;
mod watch;

use std::io;

use tidegate_gateway::replay::Fault;
use tidegate_gateway::replay::record::Stop;

use crate::client::ClientError;

/// Why a command did not do all it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The result can't be written.
    Output(io::Error),
    /// Input or output files are at fault.
    Input(Vec<Fault>),
    /// The command line asks for what can't be.
    Usage(String),
    /// A table gave no answer, or refused.
    Table(ClientError),
    /// A program can't be led to an engine.
    Program(exec::Obstacle),
    /// There is nothing of the kind that was asked for; that was said already.
    Nothing,
    /// Only part was done.
    Partly(String),
    /// All that was asked for was shown.
    Enough,
    /// A program that was started for the user ended with this.
    Status(u8),
    /// The system doesn't let it.
    System(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Table(error)
    }
}

impl From<exec::Obstacle> for Failure {
    fn from(obstacle: exec::Obstacle) -> Self {
        Self::Program(obstacle)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Input(vec![fault])
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Input(faults)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Output(error) => Self::Output(error),
            Stop::Input(fault) => fault.into(),
        }
    }
}
