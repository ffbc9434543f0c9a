//! Writes SVG: a few shapes with text that may come from anybody. The same calls give the same bytes.

use std::fmt::Write as _;

use crate::shell::xml::escaped;

/// A picture that is being written.
pub(super) struct Svg {
    text: String,
}

/// Where the words of a text stand: right of their place, left of it, or around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// A picture of a size, with a title, a description for those who do not see it, and a style.
    pub(super) fn new(
        (width, height): (u32, u32),
        title: &str,
        description: &str,
        style: &str,
    ) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">\n\
             <title id=\"title\">{}</title>\n\
             <desc id=\"description\">{}</desc>\n\
             <style>{style}</style>\n",
            escaped(title),
            escaped(description)
        );
        Svg { text }
    }

    /// A rectangle of a class; what it stands for is shown where somebody points at it.
    pub(super) fn rectangle(
        &mut self,
        class: &str,
        (x, y): (u32, u32),
        (width, height): (u32, u32),
        meaning: &str,
    ) {
        let place = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
        let _ = match meaning {
            "" => writeln!(self.text, "<rect class=\"{class}\" {place}/>"),
            meaning => writeln!(
                self.text,
                "<rect class=\"{class}\" {place}><title>{}</title></rect>",
                escaped(meaning)
            ),
        };
    }

    /// A line from one point to another.
    pub(super) fn line(&mut self, class: &str, (x1, y1): (u32, u32), (x2, y2): (u32, u32)) {
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        );
    }

    /// A text on one line.
    pub(super) fn text(&mut self, class: &str, (x, y): (u32, u32), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>"
        );
    }

    /// The whole picture.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let mut svg = Svg::new((10, 20), "a<b", "\"</desc><script>", "");
        svg.rectangle("bar", (1, 2), (3, 4), "]]>&amp;");
        svg.text("name", (5, 6), Anchor::End, "<script>alert('1')</script>\u{0}\u{202e}\u{ffff}");
        let text = svg.finish();
        for expected in [
            "<title id=\"title\">a&lt;b</title>",
            "&quot;&lt;/desc&gt;&lt;script&gt;</desc>",
            "<title>]]&gt;&amp;amp;</title></rect>",
            "text-anchor=\"end\">&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\u{fffd}\u{fffd}\u{fffd}</text>",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    proptest::proptest! {
        /// Whatever the text, the elements are those that were written.
        #[test]
        fn no_text_adds_an_element(text in ".{0,60}") {
            let mut svg = Svg::new((1, 1), &text, &text, "");
            svg.text("name", (0, 0), Anchor::Start, &text);
            let written = svg.finish();
            proptest::prop_assert_eq!(written.matches('<').count(), 10);
            proptest::prop_assert!(!written.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
