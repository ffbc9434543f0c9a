//! A mistake in the configuration, shown with its line and a caret.

use std::fmt;
use std::ops::Range;

/// A mistake: where it stands, what it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub what: String,
    /// The line as written.
    source: String,
    /// How many characters the mistake is long.
    length: usize,
}

impl Mistake {
    /// A mistake at the bytes `span` of the file `text`.
    pub(super) fn new(text: &str, span: Range<usize>, what: String) -> Mistake {
        let start = span.start.min(text.len());
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let source = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let marked = text.get(start..span.end.min(text.len())).unwrap_or_default();
        let length = marked.lines().next().unwrap_or_default().chars().count().max(1);
        Mistake {
            line: before.matches('\n').count() + 1,
            column,
            what,
            source: source.chars().take(200).collect(),
            length: length.min(200),
        }
    }
}

/// Writes the mistake, the line, and carets under what is meant.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.what)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.source)?;
        let indent = " ".repeat(self.column - 1);
        write!(f, "{margin} | {indent}{}", "^".repeat(self.length))
    }
}

impl std::error::Error for Mistake {}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn check(text: &str, message: &str) {
        assert_eq!(Config::read(text).unwrap_err().to_string(), message.trim_matches('\n'));
    }

    #[test]
    fn mistakes_are_shown_where_they_stand() {
        check(
            "[open]\nservices = [\"sip\", \"spi\"]\n\n[pbx]\nproduct = \"kamailio\"\n",
            "
line 2, column 20: unknown service \"spi\": define it under [services], or use one of openvpn, ping, rtp, sip, sip-tls, ssh, web, webrtc, wireguard
  |
2 | services = [\"sip\", \"spi\"]
  |                    ^^^^^",
        );
        check(
            "[services]\nsip = [\"5060\"]\n",
            "
line 2, column 8: \"5060\" is not a port: write udp/5060, tcp/5060 or udp/10000-20000 (1 to 65535)
  |
2 | sip = [\"5060\"]
  |        ^^^^^^",
        );
        let known: Vec<String> = Config::tables().iter().map(|name| format!("`{name}`")).collect();
        check(
            "[opne]\n",
            &format!(
                "
line 1, column 2: unknown field `opne`, expected one of {}
  |
1 | [opne]
  |  ^^^^",
                known.join(", ")
            ),
        );
        check(
            "[open]\ntotal = { packets = 0, burst = 1 }\n",
            "
line 2, column 9: a rate needs packets (a second) and burst, each from 1 to 1000000
  |
2 | total = { packets = 0, burst = 1 }
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^",
        );
    }

    #[test]
    fn sources_of_countries() {
        let sources = |text: &str| Config::read(&format!("[countries]\nsource = {text}\n"));
        assert_eq!(sources("\"/usr/share/tor\"").unwrap().countries.source, ["/usr/share/tor"]);
        let two =
            sources("[\"https://x.example/{cc}.zone\", \"/x/geo.mmdb\"]").unwrap().countries.source;
        assert_eq!(two, ["https://x.example/{cc}.zone", "/x/geo.mmdb"]);
        for wrong in ["\"geoip\"", "[]", "7", "[\"/x\", \"ftp://x.example\"]", "\"file://x/y\""] {
            let mistake = sources(wrong).unwrap_err();
            assert_eq!((mistake.line, mistake.column), (2, 10), "{wrong}: {mistake}");
        }
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::read("").unwrap(), Config::default());
    }
}
