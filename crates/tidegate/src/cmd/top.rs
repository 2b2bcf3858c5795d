//! `tidegate top`: a table as it lives.

use std::io::{self, IsTerminal};

use super::Failure;
use crate::client::Place;
use crate::filter::Expression;
use crate::flags::top::TopArgs;
use crate::top::column::{OF_FLOWS, OF_GROUPS, Order};
use crate::top::state::State;
use crate::top::{interval, page, screen};

/// Runs the command.
pub(crate) fn run(args: &TopArgs) -> Result<(), Failure> {
    let place = args.place.place();
    let state = state(args, &place)?;
    place.enter()?;
    if args.single {
        let wide = args.width.or_else(terminal_width).unwrap_or(WIDTH);
        return page::write(state, &place, (args.rows, wide), &mut io::stdout().lock());
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let what = "`top' wants a terminal; with -1 it prints one page";
        return Err(Failure::Usage(what.to_owned()));
    }
    screen::run(state, &place)
}

/// The screen as the command line wants it.
fn state(args: &TopArgs, place: &Place) -> Result<State, Failure> {
    let mut state = State::new(name(place), interval(args.rate).map_err(Failure::Usage)?);
    let expression: Expression =
        args.words.join(" ").parse().map_err(|mistake| Failure::Usage(format!("{mistake}")))?;
    state.base = args.filter.filter().into_tests();
    state.base.extend(expression.into_tests());
    state.filters.no_loopback = args.no_loopback;
    state.by = args.by;
    (state.totals, state.counters) = (!args.no_totals, !args.no_counters);
    state.lookup = args.lookup;
    let columns = if args.by.is_some() { &OF_GROUPS[..] } else { &OF_FLOWS[..] };
    let is_there = |order: &&Order| columns.contains(&order.column);
    if let Some(order) = args.sort.iter().find(|order| !is_there(order)) {
        let (name, rows) =
            (order.column.name(), if args.by.is_some() { "groups" } else { "flows" });
        return Err(Failure::Usage(format!("--sort: {rows} have no column `{name}'")));
    }
    if let [first, rest @ ..] = &args.sort[..] {
        let sort = state.sort_mut();
        (sort.first, sort.second) = (*first, rest.first().copied().or(sort.second));
    }
    if args.sort.len() > 2 {
        return Err(Failure::Usage("--sort takes two columns at most".to_owned()));
    }
    Ok(state)
}

fn name(place: &Place) -> String {
    match place {
        Place::Kernel(None) => "kernel".to_owned(),
        Place::Kernel(Some(name)) => format!("kernel, netns {name}"),
        Place::Engine(path) => format!("engine {}", path.display()),
        Place::File(saved) => saved.path.display().to_string(),
    }
}

fn terminal_width() -> Option<u16> {
    let is_terminal = io::stdout().is_terminal();
    let size = is_terminal.then(ratatui::crossterm::terminal::size)?;
    size.ok().map(|(width, _)| width)
}

const WIDTH: u16 = 160;
