//! Text in XML and HTML.

use super::screen;

/// Text as XML and HTML have it: no markup, and no character that XML does not allow or that turns the direction
/// of writing. Line ends are kept.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            escaped.push('\n');
        }
        for character in screen::printable(line).chars() {
            match character {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
                character => escaped.push(character),
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            escaped("a<b>\n&\"'\u{1b}\u{ffff}"),
            "a&lt;b&gt;\n&amp;&quot;&#39;\u{fffd}\u{fffd}"
        );
    }
}
