//! `tidegate events`: what happens to flows or expectations, while it happens.
//!
//! A table throws events away when their listener is too slow. That is never hidden: it is said on stderr, and with
//! `--gap` in the output, where the lost ones would have been.

use std::io::{self, BufWriter, StdoutLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use tidegate_wire::netlink::conntrack::{group, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Flags, Message};

use super::Failure;
use crate::client::{Expected, Flow, Heard, Table};
use crate::filter::Filter;
use crate::flags::table::{EventArg, EventsArgs};
use crate::message as say;
use crate::present::time_of_day;
use crate::render::flow::{Kind, Occasion, Printer};

/// Runs the command.
pub(crate) fn run(args: &EventsArgs) -> Result<(), Failure> {
    let style = args.output.style().map_err(Failure::Usage)?;
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    let filter = args.filter.filter_on(&place)?;
    if args.expect && !filter.is_empty() {
        let what = "conditions are about flows, and --expect about expectations";
        return Err(Failure::Usage(what.to_owned()));
    }
    let mut table = Table::subscribe(&place, mask(args), args.after, |writer| {
        filter.write_conditions(writer);
    })?;
    let out = BufWriter::new(io::stdout().lock());
    let mut listener = Listener {
        args,
        filter,
        printer: Printer::new(out, style, time_of_day()),
        gaps: Gaps::default(),
    };
    let stop = stop_flag()?;
    let mut done = Ok(());
    while done.is_ok() && !stop.load(Ordering::Relaxed) {
        let heard = table.listen(|heard| listener.hear(heard));
        done = heard.and_then(|()| Ok(listener.printer.flush()?));
    }
    listener.finish(done)
}

/// Becomes true when the user or the system wants an end.
fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Which multicast groups are to be heard.
fn mask(args: &EventsArgs) -> u32 {
    let [new, update, destroy] = match args.expect {
        false => [group::NEW, group::UPDATE, group::DESTROY],
        true => [group::EXPECT_NEW, group::EXPECT_UPDATE, group::EXPECT_DESTROY],
    };
    let bit = |group: u32| 1 << (group - 1);
    let all = bit(new) | bit(update) | bit(destroy);
    let of = |event: &EventArg| match event {
        EventArg::New => bit(new),
        EventArg::Update => bit(update),
        EventArg::Destroy => bit(destroy),
        EventArg::All => all,
    };
    if args.events.is_empty() {
        all
    } else {
        args.events.iter().fold(0, |sum, event| sum | of(event))
    }
}

/// How often something was lost.
#[derive(Debug, Default)]
struct Gaps {
    times: u64,
}

struct Listener<'a> {
    args: &'a EventsArgs,
    filter: Filter,
    printer: Printer<BufWriter<StdoutLock<'static>>>,
    gaps: Gaps,
}

impl Listener<'_> {
    fn hear(&mut self, heard: Heard<'_>) -> Result<(), Failure> {
        match heard {
            Heard::Message(message, number) => self.show(&message, number)?,
            Heard::Gap(lost) => {
                self.gaps.times += 1;
                if self.args.gap {
                    self.printer.gap(time_of_day(), lost)?;
                } else {
                    let count =
                        lost.map_or(String::new(), |(first, last)| format!(" ({first} to {last})"));
                    say::warning(format_args!("events were lost{count}: the listener is too slow"));
                }
            }
        }
        let is_enough = self.args.count.is_some_and(|count| self.printer.shown() >= count);
        if is_enough { Err(Failure::Enough) } else { Ok(()) }
    }

    fn show(&mut self, message: &Message<'_>, number: Option<u64>) -> Result<(), Failure> {
        let Some((subsystem, what)) = message.header.subsystem() else { return Ok(()) };
        let kind = match what {
            message::DELETE => Kind::Destroy,
            _ if message.header.flags.contains(Flags::CREATE) => Kind::New,
            _ => Kind::Update,
        };
        let now = time_of_day();
        let port = message.header.pid;
        if subsystem == Subsystem::Expect as u8 {
            let on = Some(Occasion { kind, time: now, port, number });
            return Ok(self.printer.expected(&Expected::parse(message)?, on)?);
        }
        let flow = Flow::parse(message)?;
        let time = flow.event_time.unwrap_or(now);
        if self.filter.accepts(&flow, time) {
            self.printer.flow(&flow, Some(Occasion { kind, time, port, number }))?;
        }
        Ok(())
    }

    fn finish(mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        if let Err(Failure::Output(_)) = done {
            return done;
        }
        self.printer.finish()?;
        say::summary(format_args!("{} flow events have been shown.", self.printer.shown()));
        if self.gaps.times > 0 {
            say::warning(format_args!("events were lost {} times", self.gaps.times));
        }
        done
    }
}
