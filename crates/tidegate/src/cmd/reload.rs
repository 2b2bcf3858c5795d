//! `tidegate reload`: a running gateway reads its files again.

use rustix::io::Errno;
use tidegate_wire::netlink::frame::{Family, Message, Subsystem};
use tidegate_wire::netlink::tidegate::{self, Attribute, message};

use super::Failure;
use crate::client::{ClientError, Request, Table};
use crate::flags::run::ReloadArgs;
use crate::message as say;

/// Runs the command.
pub(crate) fn run(args: &ReloadArgs) -> Result<(), Failure> {
    let place = args.engine.place();
    let request = Request::new(Subsystem::Tidegate, message::RELOAD, Family::default());
    let mut lines = Vec::new();
    let done = Table::open(&place)?.dump(&request, |message| read(message, &mut lines));
    match done {
        Ok(()) => {
            lines.iter().for_each(say::warning);
            say::note("rules and settings were read again");
            Ok(())
        }
        // What is wrong was told before.
        Err(ClientError::Refused(Errno::INVAL)) if !lines.is_empty() => {
            lines.iter().for_each(say::error);
            say::note("nothing has changed");
            Err(Failure::Nothing)
        }
        Err(error) => Err(error.into()),
    }
}

/// The lines of an answer.
pub(super) fn read(message: &Message<'_>, lines: &mut Vec<String>) -> Result<(), ClientError> {
    for attribute in tidegate::attributes(message.body()?.1) {
        if let Attribute::Text(line) = attribute? {
            lines.push(String::from_utf8_lossy(line).trim_end().to_owned());
        }
    }
    Ok(())
}
