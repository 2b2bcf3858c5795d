//! What the keys are.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

/// Draws it over all else.
pub(super) fn draw(frame: &mut Frame<'_>) {
    let whole = frame.area();
    let lines: Vec<Line<'_>> = KEYS.lines().map(Line::raw).collect();
    let longest = KEYS.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = (longest as u16 + 4).min(whole.width);
    let height = (lines.len() as u16 + 2).min(whole.height);
    let area = Rect { x: (whole.width - width) / 2, y: (whole.height - height) / 2, width, height };
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" keys; any key ends this ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

const KEYS: &str = "\
 b B            sort by the next column, by the one before
 r              reverse the order
 2              keep this order for those that are alike, and choose another (b)
 g G            group: source, destination, port, state, process, container, zone
 Enter          show the flows of a group
 s d S D        filter by source, destination, source port, destination port
 /              filter as ss or tcpdump do: state established ( dport = :443 or src 10/8 )
 f              leave out the loopback
 t C l          totals, counters, names instead of addresses: on or off
 x              delete the chosen flow; it is asked first
 space R        look now; change how often
 arrows j k     one row up or down; PgUp, PgDn, Home, End
 h ?            this
 q ctrl-C       quit; ctrl-Z stops until the shell goes on

 A filter that is left blank is cleared; ctrl-G and Esc cancel.";
