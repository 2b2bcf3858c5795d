//! A few lines over time: in letters for a terminal, as SVG or PNG for a file.

mod canvas;
mod svg;

use std::io::{self, Write};

use self::canvas::Canvas;
use self::svg::Svg;
use super::figures::Count;

/// What is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// What it shows.
    pub(crate) title: String,
    /// What stands below the left end and the right end.
    pub(crate) ends: [String; 2],
    /// The lines; those behind lie above those before.
    pub(crate) lines: Vec<Line>,
    /// A height that must not be passed, and its name.
    pub(crate) limit: Option<(String, f64)>,
}

/// One line, whose points are equally far apart.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What it is.
    pub(crate) name: String,
    /// What it is drawn with in a terminal.
    pub(crate) mark: char,
    /// Its colour in a file, as `#rrggbb`.
    pub(crate) colour: &'static str,
    /// The heights.
    pub(crate) points: Vec<f64>,
}

impl Plot {
    fn top(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| line.points.iter().copied());
        let highest = points.fold(LOWEST_TOP, f64::max);
        // A limit far above would press all lines to the ground.
        let limit = self.limit.as_ref().map(|(_, height)| *height);
        limit.filter(|limit| *limit <= 3.0 * highest).map_or(highest, |limit| limit.max(highest))
    }

    /// Draws it in letters.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let top = self.top();
        let mut rows = vec![vec![' '; COLUMNS]; ROWS];
        let row_of = |height: f64| {
            let up = (height / top * (ROWS - 1) as f64).round();
            ROWS - 1 - (up.clamp(0.0, (ROWS - 1) as f64) as usize)
        };
        if let Some((_, height)) = self.limit.as_ref().filter(|(_, height)| *height <= top) {
            rows[row_of(*height)].fill('-');
        }
        for line in &self.lines {
            let last = line.points.len().saturating_sub(1);
            let heights = (0..COLUMNS).filter_map(|at| line.points.get(at * last / (COLUMNS - 1)));
            for (column, height) in heights.enumerate() {
                rows[row_of(*height)][column] = line.mark;
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let height = top * (ROWS - 1 - index) as f64 / (ROWS - 1) as f64;
            let label = if index % 4 == 0 || index + 1 == ROWS {
                Count(height.round() as u64).to_string()
            } else {
                String::new()
            };
            let row: String = row.iter().collect();
            writeln!(out, "{label:>12} |{}", row.trim_end())?;
        }
        let gap = COLUMNS.saturating_sub(self.ends[0].len() + self.ends[1].len());
        writeln!(out, "{:>12} +{}", "", "-".repeat(COLUMNS))?;
        writeln!(out, "{:>12}  {}{:gap$}{}", "", self.ends[0], "", self.ends[1])?;
        let mut names: Vec<_> =
            self.lines.iter().map(|line| format!("{} {}", line.mark, line.name)).collect();
        names.extend(self.limit.as_ref().map(|(name, height)| match *height <= top {
            true => format!("- {name}"),
            false => format!("{name} {}, above", Count(*height as u64)),
        }));
        writeln!(out, "{:>12}  {}", "", names.join("   "))
    }

    /// Draws it as SVG.
    pub(crate) fn svg(&self) -> String {
        let mut svg = Svg::new(SIZE);
        self.draw(&mut svg);
        svg.finish()
    }

    /// Draws it as PNG, twice as large as the SVG.
    ///
    /// # Errors
    /// Those of the encoder.
    pub(crate) fn png(&self) -> io::Result<Vec<u8>> {
        let mut canvas = Canvas::new(SIZE);
        self.draw(&mut canvas);
        canvas.finish()
    }

    fn draw(&self, out: &mut impl Surface) {
        let top = self.top();
        let y_of = |height: f64| BOTTOM - height / top * (BOTTOM - TOP);
        out.text((LEFT, 20.0), &self.title, Letters { is_large: true, ..Letters::default() });
        for part in 0..=4 {
            let height = top * f64::from(part) / 4.0;
            let (y, label) = (y_of(height), Count(height.round() as u64).to_string());
            let thin = Stroke { colour: "#dddddd", width: 1.0, is_dashed: false };
            out.line(&[(LEFT, y), (RIGHT, y)], thin);
            out.text(
                (LEFT - 6.0, y + 4.0),
                &label,
                Letters { is_to_the_left: true, ..Letters::default() },
            );
        }
        if let Some((name, height)) = self.limit.as_ref().filter(|(_, height)| *height <= top) {
            let (y, colour) = (y_of(*height), "#cc0000");
            out.line(&[(LEFT, y), (RIGHT, y)], Stroke { colour, width: 1.0, is_dashed: true });
            let letters = Letters { colour, is_to_the_left: true, is_large: false };
            out.text((RIGHT, y - 4.0), name, letters);
        }
        for (index, line) in self.lines.iter().enumerate() {
            line.draw(out, index, y_of);
        }
        let [left, right] = &self.ends;
        let below = BOTTOM + 18.0;
        out.text((LEFT, below), left, Letters::default());
        out.text((RIGHT, below), right, Letters { is_to_the_left: true, ..Letters::default() });
    }
}

impl Line {
    fn draw(&self, out: &mut impl Surface, index: usize, y_of: impl Fn(f64) -> f64) {
        let Self { name, colour, points, .. } = self;
        let last = points.len().saturating_sub(1).max(1) as f64;
        let x_of = |number: usize| LEFT + (RIGHT - LEFT) * number as f64 / last;
        let point = |(number, height): (usize, &f64)| (x_of(number), y_of(*height));
        let points: Vec<_> = points.iter().enumerate().map(point).collect();
        out.line(&points, Stroke { colour, width: 2.0, is_dashed: false });
        let at = (LEFT + 220.0 * index as f64, BOTTOM + 40.0);
        out.text(at, name, Letters { colour, ..Letters::default() });
    }
}

/// What can be drawn on. Places are of a picture of [`SIZE`], from its upper left corner.
trait Surface {
    /// A line through some points.
    fn line(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>);
    /// A text whose base line begins at a place, or ends there.
    fn text(&mut self, at: (f64, f64), text: &str, letters: Letters<'_>);
}

/// How a line looks. Colours are `#rrggbb`.
#[derive(Clone, Copy, Debug)]
struct Stroke<'a> {
    colour: &'a str,
    width: f64,
    is_dashed: bool,
}

/// How a text looks, and on which side of its place it stands.
#[derive(Clone, Copy, Debug)]
struct Letters<'a> {
    colour: &'a str,
    is_to_the_left: bool,
    is_large: bool,
}

impl Default for Letters<'_> {
    fn default() -> Self {
        Self { colour: "#000000", is_to_the_left: false, is_large: false }
    }
}

/// The picture's width and height.
const SIZE: (u32, u32) = (800, 400);
const COLUMNS: usize = 64;
const ROWS: usize = 13;
/// The labels of the lowest plot are whole numbers, and differ.
const LOWEST_TOP: f64 = 12.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 780.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 330.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let line =
            |mark, points| Line { name: format!("line {mark}"), mark, colour: "#0066cc", points };
        Plot {
            title: "a < b".to_owned(),
            ends: ["now".to_owned(), "in 1h".to_owned()],
            lines: vec![line('*', vec![10.0, 10.0, 10.0]), line('o', vec![10.0, 5.0, 0.0])],
            limit: Some(("max".to_owned(), 12.0)),
        }
    }

    #[test]
    fn lines_stand_where_their_heights_are() {
        let mut out = Vec::new();
        plot().write_text(&mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        let rows: Vec<_> = text.lines().collect();
        assert!(rows[0].ends_with(&"-".repeat(COLUMNS)), "{text}");
        assert!(rows[2].contains("|ooo") && rows[2].ends_with('*'), "{text}");
        assert!(rows[12].trim_start().starts_with("0 |") && rows[12].ends_with('o'), "{text}");
        assert!(rows[15].contains("* line *   o line o   - max"), "{text}");
    }

    #[test]
    fn svg_is_whole_and_escaped() {
        let svg = plot().svg();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a &lt; b"));
    }

    /// The picture is read back by another program of the same format.
    #[test]
    fn png_shows_the_same_lines_in_their_colours() {
        let bytes = plot().png().expect("memory");
        let decoder = png::Decoder::new(io::Cursor::new(bytes));
        let mut reader = decoder.read_info().expect("PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let frame = reader.next_frame(&mut pixels).expect("a picture");
        assert_eq!((frame.width, frame.height), (2 * SIZE.0, 2 * SIZE.1));
        let at = |x: f64, y: f64| {
            let index = (2.0 * y) as usize * frame.line_size + (2.0 * x) as usize * 3;
            [pixels[index], pixels[index + 1], pixels[index + 2]]
        };
        let y_of = |height: f64| BOTTOM - height / 12.0 * (BOTTOM - TOP);
        let blue = [0, 0x66, 0xcc];
        assert_eq!(at(RIGHT - 1.0, y_of(10.0)), blue, "the first line's end");
        assert_eq!(at(LEFT + 345.0, y_of(5.0)), blue, "the second line's middle");
        assert_eq!(at(LEFT + 1.0, y_of(12.0)), [0xcc, 0, 0], "the limit");
        assert_eq!(at(5.0, 5.0), [0xff; 3], "nothing");
        let black = pixels.chunks_exact(3).filter(|pixel| **pixel == [0; 3]).count();
        assert!(black > 200, "letters: {black}");
    }
}
