//! One page of text, for pipes and for people who want no screen.

use std::io::Write;
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::screen::counts_of;
use super::state::{Report, State};
use super::survey::{Snapshot, Stop, Survey};
use super::view;
use crate::client::{ClientError, Place};
use crate::cmd::Failure;

/// Looks once, or twice if somebody counts and there are rates to tell, and writes at most `rows` rows.
///
/// # Errors
/// The table gives no answer, or the writer fails.
pub(crate) fn write(
    mut state: State,
    place: &Place,
    (rows, width): (usize, u16),
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut survey = Survey::new(place.clone());
    let mut snapshot = pass(&mut survey, &state)?;
    if snapshot.totals.counted > 0 {
        let rest = state.interval.saturating_sub(snapshot.took);
        thread::sleep(rest);
        snapshot = pass(&mut survey, &state)?;
    }
    state.take(Report::Snapshot(Box::new(snapshot)));
    let (entries, max) = counts_of(place)?;
    state.take(Report::Counts(Duration::ZERO, entries, max));
    let shown = rows.min(state.rows());
    let around = 1000 - view::room(&state, 1000);
    let height = u16::try_from(shown + around).unwrap_or(u16::MAX);
    state.fit(view::room(&state, height));
    let lines = text(&rendered(&state, width, height));
    // The last line is about keys, and the third about a past that one look doesn't have.
    for line in lines.iter().enumerate().filter(|(index, _)| *index != 2).map(|(_, line)| line) {
        if line != lines.last().unwrap_or(line) || !line.starts_with("h help") {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn pass(survey: &mut Survey, state: &State) -> Result<Snapshot, Failure> {
    survey.pass(&state.question(), &|| false).map_err(|stop| match stop {
        Stop::Table(error) => error.into(),
        // Nobody else asks.
        Stop::Superseded => Failure::Nothing,
    })
}

/// The picture of a state, without any terminal.
pub(crate) fn rendered(state: &State, width: u16, height: u16) -> Buffer {
    // Nothing can fail where nothing is written to: the error has no values.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| view::draw(state, frame));
    terminal.backend().buffer().clone()
}

/// A picture's lines of text.
pub(crate) fn text(picture: &Buffer) -> Vec<String> {
    let width = usize::from(picture.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    };
    picture.content.chunks(width).map(line).collect()
}

impl From<ClientError> for Report {
    fn from(error: ClientError) -> Self {
        Self::Trouble(error.to_string())
    }
}
