//! Splits a stream of bytes into lines without ever holding more than one.

/// One line of a stream, without its line end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: u64,
    /// The line; only its beginning where it is too long.
    pub(crate) text: &'a [u8],
    /// The line was longer than the splitter's limit; the rest of it is gone.
    pub(crate) too_long: bool,
}

/// Splits what is pushed into lines ending in LF, CR LF or CR; drops a byte order mark of UTF-8.
#[derive(Debug)]
pub(crate) struct Lines {
    longest: usize,
    number: u64,
    partial: Vec<u8>,
    too_long: bool,
    pending: bool,
    after_return: bool,
}

impl Lines {
    /// A splitter that keeps at most `longest` bytes of a line.
    pub(crate) fn new(longest: usize) -> Lines {
        Lines {
            longest,
            number: 0,
            partial: Vec::new(),
            too_long: false,
            pending: false,
            after_return: false,
        }
    }

    /// Hands every line that ends within `bytes` to `each`; stops at its first error.
    pub(crate) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.keep(bytes);
                return Ok(());
            };
            let (head, tail) = bytes.split_at(at);
            self.after_return = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
            self.end(head, &mut each)?;
        }
        Ok(())
    }

    /// Hands over the last line, where the stream did not end in a line end.
    pub(crate) fn finish<E>(
        &mut self,
        mut each: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.pending {
            self.end(&[], &mut each)?;
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.pending = true;
        let room = self.longest.saturating_sub(self.partial.len());
        self.too_long |= bytes.len() > room;
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn end<E>(
        &mut self,
        head: &[u8],
        each: &mut impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.number += 1;
        // The common line lies whole within one pushed block and is not copied.
        let whole = !self.pending && head.len() <= self.longest;
        if !whole {
            self.keep(head);
        }
        let text = if whole { head } else { &self.partial };
        let text = match self.number {
            1 => without_byte_order_mark(text),
            _ => text,
        };
        let result = each(Line { number: self.number, text, too_long: self.too_long });
        self.partial.clear();
        self.too_long = false;
        self.pending = false;
        result
    }
}

/// The text behind a byte order mark of UTF-8, where there is one.
pub(crate) fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(bytes: &[u8], block: usize, longest: usize) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(longest);
        let mut seen = Vec::new();
        let mut each = |line: Line<'_>| -> Result<(), ()> {
            seen.push((line.number, line.text.to_vec(), line.too_long));
            Ok(())
        };
        for part in bytes.chunks(block) {
            lines.push(part, &mut each).unwrap();
        }
        lines.finish(&mut each).unwrap();
        seen
    }

    fn check(bytes: &[u8], expected: &[&str]) {
        for block in 1..=bytes.len().max(1) {
            let seen = split(bytes, block, 100);
            let texts: Vec<&[u8]> = seen.iter().map(|(_, text, _)| text.as_slice()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(texts, expected, "{bytes:?} in blocks of {block}");
        }
    }

    #[test]
    fn line_ends() {
        check(b"", &[]);
        check(b"a", &["a"]);
        check(b"a\nb\n", &["a", "b"]);
        check(b"a\r\nb\r\n", &["a", "b"]);
        check(b"a\rb", &["a", "b"]);
        check(b"\n\n", &["", ""]);
        check(b"\r\n\r\nx", &["", "", "x"]);
        check(b"\xef\xbb\xbfa\nb", &["a", "b"]);
    }

    #[test]
    fn a_long_line_is_cut_and_said() {
        let seen = split(b"abcdefgh\nxy\nabcd\n", 3, 4);
        let expected =
            [(1, b"abcd".to_vec(), true), (2, b"xy".to_vec(), false), (3, b"abcd".to_vec(), false)];
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn blocks_do_not_matter(bytes in proptest::collection::vec(proptest::sample::select(b"ab\r\n\xef\xbb\xbf".to_vec()), 0..40), block in 1_usize..9) {
            prop_assert_eq!(split(&bytes, block, 4), split(&bytes, 1000, 4));
        }
    }
}
