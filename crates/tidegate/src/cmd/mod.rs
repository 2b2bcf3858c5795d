//! The commands, one file each.

pub(crate) mod exec;
pub(crate) mod replay;
pub(crate) mod run;

use std::io;

use tidegate_gateway::replay::Fault;
use tidegate_gateway::replay::record::Stop;

/// Why a command did not do all it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The result can't be written.
    Output(io::Error),
    /// Input or output files are at fault.
    Input(Vec<Fault>),
    /// The command line asks for what can't be.
    Usage(String),
    /// The system doesn't let it.
    System(String),
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
