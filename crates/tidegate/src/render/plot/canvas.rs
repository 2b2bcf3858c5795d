//! A plot as PNG: points of a colour, letters of eight by eight points.

use std::io;

use font8x8::legacy::BASIC_LEGACY;

use super::{Letters, Stroke, Surface};

/// A picture of red, green and blue, [`SCALE`] times as large as what is drawn.
#[derive(Debug)]
pub(super) struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// An empty one for a drawing of this size.
    pub(super) fn new((width, height): (u32, u32)) -> Self {
        let (width, height) = (width * SCALE, height * SCALE);
        Self { width, height, pixels: vec![0xff; (width * height * 3) as usize] }
    }

    /// The file.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// A square with a corner at a place, as far as it lies in the picture.
    fn square(&mut self, (left, top): (i64, i64), side: i64, colour: [u8; 3]) {
        for (x, y) in (top..top + side).flat_map(|y| (left..left + side).map(move |x| (x, y))) {
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
            if x < self.width && y < self.height {
                let index = ((y * self.width + x) * 3) as usize;
                self.pixels[index..index + 3].copy_from_slice(&colour);
            }
        }
    }

    fn letter(&mut self, (left, top): (i64, i64), letter: char, colour: [u8; 3]) {
        let rows =
            BASIC_LEGACY.get(letter as usize).copied().unwrap_or(BASIC_LEGACY[b'?' as usize]);
        let dots = (0..8).flat_map(|row| (0..8).map(move |column| (row, column)));
        for (row, column) in dots.filter(|(row, column)| rows[*row] >> column & 1 == 1) {
            let side = i64::from(DOT);
            self.square((left + side * column as i64, top + side * row as i64), side, colour);
        }
    }
}

impl Surface for Canvas {
    fn line(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let (side, colour) = (scaled(stroke.width), channels(stroke.colour));
        for ends in points.windows(2) {
            let [(x, y), (to_x, to_y)] = [ends[0], ends[1]];
            let steps = ((to_x - x).abs().max((to_y - y).abs()) * f64::from(SCALE)).ceil().max(1.0);
            for step in 0..=steps as u32 {
                let part = f64::from(step) / steps;
                let gap = stroke.is_dashed && step % (10 * SCALE) >= 6 * SCALE;
                let place = (x + (to_x - x) * part, y + (to_y - y) * part);
                if !gap {
                    let corner = (scaled(place.0) - side / 2, scaled(place.1) - side / 2);
                    self.square(corner, side, colour);
                }
            }
        }
    }

    fn text(&mut self, (x, y): (f64, f64), text: &str, letters: Letters<'_>) {
        let advance = i64::from(8 * DOT);
        let width = if letters.is_to_the_left { text.chars().count() as i64 * advance } else { 0 };
        let (left, top) = (scaled(x) - width, scaled(y) - 7 * i64::from(DOT));
        for (index, letter) in text.chars().enumerate() {
            self.letter((left + index as i64 * advance, top), letter, channels(letters.colour));
        }
    }
}

fn scaled(length: f64) -> i64 {
    (length * f64::from(SCALE)).round() as i64
}

/// Red, green and blue of `#rrggbb`.
fn channels(colour: &str) -> [u8; 3] {
    let number = u32::from_str_radix(colour.trim_start_matches('#'), 16).unwrap_or(0);
    let [_, red, green, blue] = number.to_be_bytes();
    [red, green, blue]
}

/// Points of the picture for one of the drawing.
const SCALE: u32 = 2;
/// Points of the picture for one of a letter.
const DOT: u32 = 2;
