//! A picture of a screen as SVG, for the README: the same bytes for the same screen.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// The picture of a screen.
pub(super) fn svg(screen: &Buffer) -> String {
    let (columns, rows) = (screen.area.width, screen.area.height);
    let (width, height) = (f32::from(columns) * CELL.0 + 24.0, f32::from(rows) * CELL.1 + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         font-family=\"ui-monospace,Menlo,Consolas,monospace\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for (row, cells) in screen.content.chunks(usize::from(columns)).enumerate() {
        for (first, run) in runs(cells) {
            write_run(&mut out, (first, row), run);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Cells behind each other that look alike, and the column where they begin; blanks that can't be seen left out.
fn runs(cells: &[Cell]) -> Vec<(usize, &[Cell])> {
    let mut runs = Vec::new();
    let mut first = 0;
    for run in cells.chunk_by(|a, b| a.style() == b.style()) {
        let is_seen = run.iter().any(|cell| cell.symbol() != " " || is_reversed(cell));
        if is_seen {
            runs.push((first, run));
        }
        first += run.len();
    }
    runs
}

fn write_run(out: &mut String, (column, row): (usize, usize), cells: &[Cell]) {
    let (x, y) = (column as f32 * CELL.0 + 12.0, row as f32 * CELL.1 + 12.0);
    let width = cells.len() as f32 * CELL.0;
    let cell = &cells[0];
    if is_reversed(cell) {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{TEXT}\"/>",
            CELL.1
        );
    }
    let colour = if is_reversed(cell) { BACKGROUND } else { colour(cell.fg) };
    let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let line = if cell.modifier.contains(Modifier::UNDERLINED) {
        " text-decoration=\"underline\""
    } else {
        ""
    };
    let text: String = cells.iter().map(Cell::symbol).collect();
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\" \
         fill=\"{colour}\"{weight}{line}>{text}</text>",
        y + 13.0
    );
}

fn is_reversed(cell: &Cell) -> bool {
    cell.modifier.contains(Modifier::REVERSED)
}

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Green => "#7fd67f",
        Color::Yellow => "#e6c45c",
        Color::Red => "#f07070",
        Color::Cyan => "#6cc7d6",
        Color::DarkGray => "#8a919c",
        _ => TEXT,
    }
}

/// A character's width and height.
const CELL: (f32, f32) = (7.8, 17.0);
const BACKGROUND: &str = "#14181f";
const TEXT: &str = "#dfe3ea";
