//! A QR code, as characters and as a drawing.

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// The white border around a code, in modules.
const QUIET: usize = 4;

/// A QR code with its white border.
pub(super) struct Code {
    /// Rows of modules; true is black.
    rows: Vec<Vec<bool>>,
}

impl Code {
    /// The code of a text; `None` if it is too long for one.
    pub(super) fn of(text: &str) -> Option<Code> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let (width, colors) = (code.width(), code.to_colors());
        let empty = vec![false; width + 2 * QUIET];
        let row = |row: &[Color]| {
            let modules = row.iter().map(|color| *color == Color::Dark);
            let border = std::iter::repeat_n(false, QUIET);
            border.clone().chain(modules).chain(border).collect()
        };
        let border = std::iter::repeat_n(empty, QUIET);
        let rows = border.clone().chain(colors.chunks(width).map(row)).chain(border).collect();
        Some(Code { rows })
    }

    /// How many modules a row has: so many characters.
    pub(super) fn width(&self) -> usize {
        self.rows.len()
    }

    /// For a terminal with a dark background: each character is two modules, one above the other, and
    /// white ones are drawn.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for rows in self.rows.chunks(2) {
            let (upper, lower) = (rows.first(), rows.get(1));
            for column in 0..self.width() {
                let is_white =
                    |row: Option<&Vec<bool>>| row.and_then(|row| row.get(column)) == Some(&false);
                lines.push(match (is_white(upper), is_white(lower)) {
                    (true, true) => '\u{2588}',
                    (true, false) => '\u{2580}',
                    (false, true) => '\u{2584}',
                    (false, false) => ' ',
                });
            }
            lines.push('\n');
        }
        lines.truncate(lines.trim_end_matches('\n').len());
        lines
    }

    /// The path of an SVG drawing: a rectangle for each run of black modules in a row, one unit each.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for (y, row) in self.rows.iter().enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, other| one == other) {
                if run.first() == Some(&true) {
                    path += &format!("M{x} {y}h{0}v1h-{0}z", run.len());
                }
                x += run.len();
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_drawings_show_the_same_code() {
        let code = Code::of("nightlatch").unwrap();
        assert_eq!(code.width(), 21 + 2 * QUIET);
        // The three corners have their squares: 7 black modules in a row, behind the border.
        let corner =
            |row: usize, column: usize| code.rows[row][column..column + 7].iter().all(|it| *it);
        assert!(corner(4, 4) && corner(4, 18) && corner(18, 4) && !corner(18, 18));
        let lines = code.lines();
        let lines: Vec<Vec<char>> = lines.lines().map(|line| line.chars().collect()).collect();
        assert_eq!((lines.len(), lines[0].len()), (15, 29));
        let path = code.path();
        for (y, row) in code.rows.iter().enumerate() {
            for (x, is_black) in row.iter().enumerate() {
                let character = lines[y / 2][x];
                let white = if y % 2 == 0 { "\u{2588}\u{2580}" } else { "\u{2588}\u{2584}" };
                assert_eq!(white.contains(character), !is_black, "{x} {y}");
                assert_eq!(covers(&path, x, y), *is_black, "{x} {y}");
            }
        }
    }

    /// Whether a rectangle of a path covers a module.
    fn covers(path: &str, x: usize, y: usize) -> bool {
        path.split('z').filter(|part| !part.is_empty()).any(|part| {
            let (place, length) = part.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (left, row) = place.split_once(' ').unwrap();
            let length: usize = length.split('v').next().unwrap().parse().unwrap();
            let left: usize = left.parse().unwrap();
            row.parse() == Ok(y) && (left..left + length).contains(&x)
        })
    }

    #[test]
    fn a_text_that_is_too_long_has_no_code() {
        assert!(Code::of(&"x".repeat(2953)).is_some());
        assert!(Code::of(&"x".repeat(2954)).is_none());
    }
}
