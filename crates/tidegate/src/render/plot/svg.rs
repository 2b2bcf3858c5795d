//! A plot as SVG.

use std::fmt::Write as _;

use super::{Letters, Stroke, Surface};

/// A picture that is written.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// An empty one.
    pub(super) fn new((width, height): (u32, u32)) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        Self { text }
    }

    /// The file.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

impl Surface for Svg {
    fn line(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let Stroke { colour, width, is_dashed } = stroke;
        let dashes = if is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        if let [(x, y), (to_x, to_y)] = points {
            let _ = writeln!(
                self.text,
                "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{to_x:.1}\" y2=\"{to_y:.1}\" stroke=\"{colour}\" \
                 stroke-width=\"{width}\"{dashes}/>"
            );
            return;
        }
        let _ = write!(
            self.text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes} points=\""
        );
        for (x, y) in points {
            let _ = write!(self.text, "{x:.1},{y:.1} ");
        }
        self.text.push_str("\"/>\n");
    }

    fn text(&mut self, (x, y): (f64, f64), text: &str, letters: Letters<'_>) {
        let Letters { colour, is_to_the_left, is_large } = letters;
        let anchor = if is_to_the_left { " text-anchor=\"end\"" } else { "" };
        let size = if is_large { 14 } else { 12 };
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\" font-size=\"{size}\"{anchor}>{}</text>",
            escaped(text)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
