//! What keys do: iptstate's, and some more.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::column::Order;
use super::filters::Which;
use super::group::By;
use super::group::GroupKey;
use super::state::{Asked, Command, Mode, Prompt, State};
use super::survey::Rows;
use super::view;

/// Changes the state as a key says, and tells what somebody else must do.
pub(crate) fn press(state: &mut State, key: KeyEvent) -> Option<Command> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') => return Some(Command::Quit),
            KeyCode::Char('z') => return Some(Command::Suspend),
            _ => {}
        }
    }
    match std::mem::replace(&mut state.mode, Mode::Command) {
        Mode::Command => command(state, key),
        Mode::Prompt(prompt) => answer(state, prompt, key),
        Mode::Confirm(message, _) => {
            let is_yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
            state.message = (!is_yes).then(|| "nothing was deleted".to_owned());
            is_yes.then_some(Command::Delete(message))
        }
        Mode::Help => None,
    }
}

fn command(state: &mut State, key: KeyEvent) -> Option<Command> {
    state.message = None;
    if let KeyCode::Char(letter) = key.code
        && let Some(what) = asked(letter)
    {
        state.mode = Mode::Prompt(Prompt { what, text: String::new(), mistake: None });
        return None;
    }
    match key.code {
        KeyCode::Char('q') => return Some(Command::Quit),
        KeyCode::Char(' ') => return Some(Command::Refresh),
        KeyCode::Char('h' | '?') => state.mode = Mode::Help,
        KeyCode::Char('t') => state.totals = !state.totals,
        KeyCode::Char('C') => state.counters = !state.counters,
        KeyCode::Char('l') => state.lookup = !state.lookup,
        KeyCode::Char('x') => confirm(state),
        KeyCode::Char('b') => return turn(state, 1),
        KeyCode::Char('B') => return turn(state, -1),
        KeyCode::Char('r') => return reverse(state),
        KeyCode::Char('2') => return second(state),
        KeyCode::Char('f') => {
            state.filters.no_loopback = !state.filters.no_loopback;
            return anew(state);
        }
        KeyCode::Char('g') => return regroup(state, 1),
        KeyCode::Char('G') => return regroup(state, -1),
        KeyCode::Enter => return open(state),
        _ => return walk(state, key.code),
    }
    None
}

/// What a letter asks for.
fn asked(letter: char) -> Option<Asked> {
    Some(match letter {
        's' => Asked::Filter(Which::Source),
        'd' => Asked::Filter(Which::Destination),
        'S' => Asked::Filter(Which::SourcePort),
        'D' => Asked::Filter(Which::DestinationPort),
        '/' => Asked::Filter(Which::Expression),
        'R' => Asked::Rate,
        _ => return None,
    })
}

/// Keys that move the cursor; more rows are asked for where those that are known end. `j` is up and `k` is down, as in iptstate.
fn walk(state: &mut State, code: KeyCode) -> Option<Command> {
    let asked = state.question().limit;
    let (page, last) = (state.page.max(1), state.rows().saturating_sub(1));
    state.cursor = match code {
        KeyCode::Up | KeyCode::Char('j') => state.cursor.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('k') => state.cursor + 1,
        KeyCode::PageUp => state.cursor.saturating_sub(page),
        KeyCode::PageDown => state.cursor + page,
        KeyCode::Home => 0,
        KeyCode::End => last,
        _ => return None,
    };
    state.settle();
    (state.question().limit > asked).then_some(Command::Refresh)
}

/// The table must be asked again, and what comes is looked at from the top.
fn anew(state: &mut State) -> Option<Command> {
    state.cursor = 0;
    state.settle();
    Some(Command::Refresh)
}

fn turn(state: &mut State, step: isize) -> Option<Command> {
    let columns = state.columns();
    let sort = state.sort_mut();
    let now = columns.iter().position(|column| *column == sort.first.column).unwrap_or(0);
    let next = (now as isize + step).rem_euclid(columns.len() as isize);
    sort.first = Order::usual(columns[next as usize]);
    anew(state)
}

fn reverse(state: &mut State) -> Option<Command> {
    let sort = state.sort_mut();
    sort.first.descends = !sort.first.descends;
    anew(state)
}

/// What rows are sorted by now becomes what decides between those that are alike.
fn second(state: &mut State) -> Option<Command> {
    let sort = state.sort_mut();
    sort.second = Some(sort.first);
    state.message = Some(format!("second, rows are sorted by {}", sort.first.column.name()));
    anew(state)
}

fn regroup(state: &mut State, step: isize) -> Option<Command> {
    let now = WAYS.iter().position(|by| *by == state.by).unwrap_or(0);
    state.by = WAYS[(now as isize + step).rem_euclid(WAYS.len() as isize) as usize];
    anew(state)
}

/// Shows the flows of the group that is chosen.
fn open(state: &mut State) -> Option<Command> {
    let Some(Rows::Groups(rows, ..)) = state.snapshot.as_ref().map(|snapshot| &snapshot.rows)
    else {
        return None;
    };
    let (by, key) = (state.by?, rows.get(state.cursor)?.key);
    let Some(words) = words_for(by, key) else {
        state.message = Some("no filter says that; `/' takes one".to_owned());
        return None;
    };
    let typed = state.filters.text(Which::Expression);
    let both = if typed.is_empty() { words } else { format!("( {typed} ) and {words}") };
    if let Err(why) = state.filters.set(Which::Expression, &both) {
        state.message = Some(why);
        return None;
    }
    state.by = None;
    anew(state)
}

/// The expression that means a group's flows.
fn words_for(by: By, key: GroupKey) -> Option<String> {
    Some(match (by, key) {
        (By::Source, GroupKey::Address(address)) => format!("src host {address}"),
        (By::Destination, GroupKey::Address(address)) => format!("dst host {address}"),
        (By::Port, GroupKey::Port(proto, Some(port))) => format!("proto {proto} dport = {port}"),
        (By::Port, GroupKey::Port(proto, None)) => format!("proto {proto}"),
        (By::State, GroupKey::State(proto, name)) => match name {
            "ASSURED" => format!("proto {proto} assured"),
            "REPLIED" => format!("proto {proto} replied not assured"),
            "UNREPLIED" => format!("proto {proto} unreplied"),
            name => format!("proto {proto} state {name}"),
        },
        (By::Zone, GroupKey::Zone(zone)) => format!("zone {zone}"),
        _ => return None,
    })
}

fn confirm(state: &mut State) {
    match state.chosen_flow() {
        Some(row) => state.mode = Mode::Confirm(row.message.clone(), view::in_words(row)),
        None => state.message = Some("only flows can be deleted: `g' shows them".to_owned()),
    }
}

fn answer(state: &mut State, mut prompt: Prompt, key: KeyEvent) -> Option<Command> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('g') if is_control => return cancelled(state),
        KeyCode::Esc => return cancelled(state),
        KeyCode::Char('u') if is_control => prompt.text.clear(),
        KeyCode::Char(letter) if !is_control => prompt.text.push(letter),
        KeyCode::Backspace => {
            prompt.text.pop();
        }
        KeyCode::Enter => match accept(state, &prompt) {
            Ok(()) => return anew(state),
            Err(why) => prompt.mistake = Some(why),
        },
        _ => {}
    }
    state.mode = Mode::Prompt(prompt);
    None
}

fn cancelled(state: &mut State) -> Option<Command> {
    state.message = Some("all stays as it was".to_owned());
    None
}

fn accept(state: &mut State, prompt: &Prompt) -> Result<(), String> {
    match prompt.what {
        Asked::Filter(which) => state.filters.set(which, &prompt.text),
        Asked::Rate => {
            state.interval = interval(prompt.text.trim().parse().unwrap_or(f64::NAN))?;
            Ok(())
        }
    }
}

/// The time between two passes, from seconds.
///
/// # Errors
/// It is too short, or no time.
pub(crate) fn interval(seconds: f64) -> Result<Duration, String> {
    let interval = Duration::try_from_secs_f64(seconds).ok();
    interval
        .filter(|interval| *interval >= SHORTEST)
        .ok_or_else(|| "the rate is a number of seconds, a tenth at least".to_owned())
}

const SHORTEST: Duration = Duration::from_millis(100);
const WAYS: [Option<By>; 8] = [
    None,
    Some(By::Source),
    Some(By::Destination),
    Some(By::Port),
    Some(By::State),
    Some(By::Process),
    Some(By::Container),
    Some(By::Zone),
];
