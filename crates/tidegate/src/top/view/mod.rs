//! The screen: a picture of the state, the same for the same state.

mod cells;
mod head;
mod help;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

pub(crate) use self::cells::in_words;
use super::column::Order;
use super::state::{Asked, Mode, Prompt, State};

/// How many rows there is room for on a screen of this height.
pub(crate) fn room(state: &State, height: u16) -> usize {
    usize::from(height).saturating_sub(head::height(state) + AROUND_ROWS)
}

/// Draws all of it.
pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let head = head::lines(state, frame.area().width);
    let parts = Layout::vertical([
        Constraint::Length(head.len() as u16),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [above, middle, below] = parts.areas(frame.area());
    frame.render_widget(Paragraph::new(head), above);
    rows(state, frame, middle);
    frame.render_widget(Paragraph::new(foot(state)), below);
    match &state.mode {
        Mode::Help => help::draw(frame),
        Mode::Prompt(Prompt { mistake: Some(mistake), .. }) => box_above(frame, below, mistake),
        Mode::Command | Mode::Prompt(_) | Mode::Confirm(..) => {}
    }
}

/// The line of titles and the rows below it.
fn rows(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let grid = cells::grid(state);
    let count = grid.titles.len();
    let mut widths: Vec<usize> =
        grid.titles.iter().map(|title| title.text.chars().count()).collect();
    for row in &grid.rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let placed = |index: usize, text: &str| {
        let width = widths[index];
        match grid.titles[index].is_number {
            true => format!("{text:>width$}"),
            false => text.to_owned(),
        }
    };
    let sort = state.sort();
    let title = |index: usize| {
        let title = &grid.titles[index];
        let style = match title.columns.contains(&sort.first.column) {
            true => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            false => Style::new().add_modifier(Modifier::BOLD),
        };
        Span::styled(placed(index, &title.text), style)
    };
    let line = |(number, row): (usize, &Vec<String>)| {
        let cells = row.iter().enumerate().map(|(index, cell)| placed(index, cell));
        let is_chosen = state.offset + number == state.cursor;
        let chosen = Style::new().add_modifier(Modifier::REVERSED);
        Row::new(cells).style(if is_chosen { chosen } else { Style::new() })
    };
    let lines = grid.rows.iter().enumerate().map(line);
    let lengths = widths.iter().map(|width| Constraint::Length(*width as u16));
    let table =
        Table::new(lines, lengths).header(Row::new((0..count).map(title))).column_spacing(2);
    frame.render_widget(table, area);
}

/// The last line: what is asked, or said, or could be done.
fn foot(state: &State) -> Line<'_> {
    let bold = |text: String| Span::styled(text, Style::new().add_modifier(Modifier::BOLD));
    match &state.mode {
        Mode::Prompt(Prompt { what, text, .. }) => {
            let (title, now) = match what {
                Asked::Filter(which) => (which.title(), state.filters.text(*which).to_owned()),
                Asked::Rate => {
                    ("seconds between two looks", state.interval.as_secs_f64().to_string())
                }
            };
            let now = if now.is_empty() { "none".to_owned() } else { now };
            let question = format!("{title} (now {now}; blank clears, ctrl-G cancels): ");
            Line::from(vec![bold(question), Span::raw(text.clone()), Span::raw("_")])
        }
        Mode::Confirm(_, flow) => bold(format!("delete {flow}? (y/n)")).into(),
        Mode::Command | Mode::Help => match (&state.message, &state.trouble) {
            (Some(message), _) => bold(message.clone()).into(),
            (None, Some(trouble)) => bold(trouble.clone()).fg(Color::Red).into(),
            (None, None) => Line::styled(HINT, Style::new().fg(Color::DarkGray)),
        },
    }
}

/// A text of some lines, just above a line.
fn box_above(frame: &mut Frame<'_>, below: Rect, text: &str) {
    let lines: Vec<Line<'_>> = text.lines().map(Line::raw).collect();
    let wanted = lines.len() as u16 + 2;
    let height = wanted.min(below.y);
    let area = Rect { y: below.y - height, height, ..below };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("mistake")), area);
}

/// What rows are sorted by, in words.
fn sorted_by(state: &State) -> String {
    let words =
        |order: Order| format!("{}{}", if order.descends { "-" } else { "" }, order.column.name());
    let sort = state.sort();
    let second = sort.second.filter(|second| second.column != sort.first.column);
    [Some(sort.first), second].into_iter().flatten().map(words).collect::<Vec<_>>().join(",")
}

/// The line of titles and the last line.
const AROUND_ROWS: usize = 2;
const HINT: &str =
    "h help  b/B sort  r reverse  g group  Enter open  s d S D / filter  x delete  R rate  q quit";
