//! `tidegate lab`: see `lab`.

use super::Failure;
use crate::flags::lab::LabArgs;
use crate::lab;

/// Runs the command.
pub(crate) fn run(args: &LabArgs) -> Result<(), Failure> {
    let ended = match &args.inside {
        None => lab::outside(args),
        Some(dir) => lab::inside(args, dir),
    };
    match ended {
        Ok(0) => Ok(()),
        Ok(status) => Err(Failure::Status(status)),
        Err(obstacle) => Err(Failure::System(obstacle.to_string())),
    }
}
