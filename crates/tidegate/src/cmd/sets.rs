//! `tidegate sets`: the sets of a running gateway are changed by lines of `ipset restore`.

use std::fs;
use std::io::{self, Read};

use rustix::io::Errno;
use tidegate_gateway::replay::{Cause, Fault};
use tidegate_wire::netlink::frame::{Family, Subsystem};
use tidegate_wire::netlink::tidegate::{Attribute, message};

use super::{Failure, reload};
use crate::client::{ClientError, Request, Table};
use crate::flags::run::SetsArgs;
use crate::message as say;

/// Bytes of lines that one request carries: an error repeats the request, and must not be longer than what is read of an answer.
const PORTION: usize = 16 << 10;

/// Runs the command.
pub(crate) fn run(args: &SetsArgs) -> Result<(), Failure> {
    let text = text_of(args)?;
    let mut table = Table::open(&args.engine.place())?;
    let mut is_all_done = true;
    for (before, portion) in portions(&text) {
        // What went wrong is told at once: the conversation may break off before the end.
        let wrong = change(&mut table, before, portion)?;
        wrong.iter().for_each(say::error);
        is_all_done &= wrong.is_empty();
    }
    if is_all_done { Ok(()) } else { Err(Failure::Nothing) }
}

/// Has some lines done, behind as many others, and says what is wrong with which.
fn change(table: &mut Table, before: usize, portion: &str) -> Result<Vec<String>, ClientError> {
    if portion.len() > PORTION {
        return Ok(vec![format!("sets:{}: the line has more than {PORTION} bytes", before + 1)]);
    }
    let number = u32::try_from(before).unwrap_or(u32::MAX);
    let request = Request::new(Subsystem::Tidegate, message::SETS, Family::default());
    let request = request.with(|writer| {
        Attribute::Number(number).write(writer);
        Attribute::Value(portion.as_bytes()).write(writer);
    });
    let mut wrong = Vec::new();
    match table.dump(&request, |message| reload::read(message, &mut wrong)) {
        Err(ClientError::Refused(Errno::INVAL)) if !wrong.is_empty() => {}
        done => done?,
    }
    Ok(wrong)
}

fn text_of(args: &SetsArgs) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match &args.file {
        Some(file) => fs::read_to_string(file).map(|whole| text = whole),
        None => io::stdin().read_to_string(&mut text).map(drop),
    };
    read.map_err(|error| {
        let file = args.file.as_ref().map_or("stdin".into(), |file| file.display().to_string());
        Failure::Input(vec![Fault { file, line: None, cause: Cause::Io(error) }])
    })?;
    Ok(text)
}

/// The text in parts of whole lines, each with the number of lines before it. A line that is too long is a part of its
/// own.
fn portions(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut rest, mut before) = (Vec::new(), text, 0);
    while !rest.is_empty() {
        let part = if rest.len() <= PORTION {
            rest
        } else {
            let end = rest.as_bytes()[..PORTION].iter().rposition(|byte| *byte == b'\n');
            let end = end.or_else(|| rest.bytes().position(|byte| byte == b'\n'));
            rest.split_at(end.map_or(rest.len(), |end| end + 1)).0
        };
        parts.push((before, part));
        before += part.lines().count();
        rest = &rest[part.len()..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_whole_lines_and_lose_none() {
        for width in [10, 100, PORTION - 1, PORTION, PORTION + 1] {
            let text = format!("{}\n", "x".repeat(width)).repeat(3 * PORTION / width + 2);
            let parts = portions(&text);
            assert_eq!(parts.iter().map(|(_, part)| *part).collect::<String>(), text);
            let mut lines = 0;
            for (before, part) in parts {
                assert_eq!(before, lines);
                assert!(part.ends_with('\n'), "{width}");
                lines += part.lines().count();
            }
        }
        assert!(portions("").is_empty());
    }
}
