//! A few lines over time: in letters for a terminal, as SVG for a file.

use std::fmt::Write as _;
use std::io::{self, Write};

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
    /// Its colour in SVG.
    pub(crate) colour: &'static str,
    /// The heights.
    pub(crate) points: Vec<f64>,
}

impl Plot {
    fn top(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| line.points.iter().copied());
        let highest = points.fold(1.0, f64::max);
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
        names.extend(self.limit.as_ref().map(|(name, _)| format!("- {name}")));
        writeln!(out, "{:>12}  {}", "", names.join("   "))
    }

    /// Draws it as SVG.
    pub(crate) fn svg(&self) -> String {
        let top = self.top();
        let y_of = |height: f64| BOTTOM - height / top * (BOTTOM - TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 400\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"800\" height=\"400\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
            escaped(&self.title)
        );
        for part in 0..=4 {
            let height = top * f64::from(part) / 4.0;
            let y = y_of(height);
            let label = Count(height.round() as u64);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                LEFT - 6.0,
                y + 4.0
            );
        }
        if let Some((name, height)) = self.limit.as_ref().filter(|(_, height)| *height <= top) {
            let y = y_of(*height);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#c00\" \
                 stroke-dasharray=\"6 4\"/>\n<text x=\"{RIGHT}\" y=\"{:.1}\" fill=\"#c00\" \
                 text-anchor=\"end\">{}</text>\n",
                y - 4.0,
                escaped(name)
            );
        }
        for (index, line) in self.lines.iter().enumerate() {
            line.write_svg(&mut svg, index, y_of);
        }
        let [left, right] = self.ends.each_ref().map(|end| escaped(end));
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{0}\">{left}</text>\n<text x=\"{RIGHT}\" y=\"{0}\" \
             text-anchor=\"end\">{right}</text>\n</svg>\n",
            BOTTOM + 18.0
        );
        svg
    }
}

impl Line {
    fn write_svg(&self, svg: &mut String, index: usize, y_of: impl Fn(f64) -> f64) {
        let Self { name, colour, points, .. } = self;
        let last = points.len().saturating_sub(1).max(1) as f64;
        let _ =
            write!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"");
        for (number, height) in points.iter().enumerate() {
            let x = LEFT + (RIGHT - LEFT) * number as f64 / last;
            let _ = write!(svg, "{x:.1},{:.1} ", y_of(*height));
        }
        let (x, y) = (LEFT + 220.0 * index as f64, BOTTOM + 40.0);
        let _ = writeln!(
            svg,
            "\"/>\n<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
            escaped(name)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const COLUMNS: usize = 64;
const ROWS: usize = 13;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 780.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 330.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let line =
            |mark, points| Line { name: format!("line {mark}"), mark, colour: "#06c", points };
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
}
