//! The table `[bans]` of the configuration.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::ban::MAX_BAN;
use crate::config::{File, Mistake, OneOrMany, Rate, Table};
use crate::time::{parse_span, show_span};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What a time may be.
const BOUNDS: RangeInclusive<Duration> = Duration::from_secs(10)..=MAX_BAN;
/// The most lengths.
const MAX_LENGTHS: usize = 32;
/// The most bans at a time whose evidence could be forged.
const MAX_BRIEF: u32 = 100_000;

/// How long bans last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The first time, the second time in a row, and so on; the last one also for all that follow. Never
    /// empty.
    pub lengths: Vec<Duration>,
    /// After how long without an attack one repetition is forgotten.
    pub quiet: Duration,
    /// How long a ban lasts whose evidence somebody else could have forged.
    pub brief: Duration,
    /// How many of these there are at a time at most.
    pub max_brief: u32,
    /// What a source may send to a service that it attacks if it is not banned, e.g. because it has an
    /// account.
    pub limit: Rate,
}

impl Default for Config {
    fn default() -> Config {
        let lengths = [15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY];
        Config {
            lengths: lengths.map(Duration::from_secs).to_vec(),
            quiet: Duration::from_secs(7 * DAY),
            brief: Duration::from_secs(10 * MINUTE),
            max_brief: 1000,
            limit: Rate { packets: 1, burst: 20 },
        }
    }
}

impl Config {
    /// How long a ban lasts the first, the second time, and so on.
    pub fn length(&self, times: u32) -> Duration {
        let at = usize::try_from(times).unwrap_or(usize::MAX).saturating_sub(1);
        let length = self.lengths.get(at).or(self.lengths.last());
        length.copied().unwrap_or(self.brief)
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    bans: Bans,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    lengths: Option<Spanned<OneOrMany>>,
    quiet: Option<Spanned<String>>,
    brief: Option<Spanned<String>>,
    max_brief: Option<Spanned<u32>>,
    limit: Option<Spanned<Rate>>,
}

impl Table for Config {
    const NAMES: &'static [&'static str] = &["bans"];

    fn read(file: &File<'_>) -> Result<Config, Mistake> {
        let Written { bans } = file.parsed()?;
        let default = Config::default();
        let span = |written: &Option<Spanned<String>>| {
            written.as_ref().map(|it| span(file, it.get_ref(), it.span())).transpose()
        };
        let lengths = bans.lengths.map(|written| lengths(file, written)).transpose()?;
        let max_brief = match bans.max_brief {
            Some(written) if *written.get_ref() > MAX_BRIEF => {
                return Err(file.mistake(written.span(), format!("write 0 to {MAX_BRIEF}")));
            }
            written => written.map(Spanned::into_inner),
        };
        let limit = match bans.limit {
            Some(written) if written.get_ref().packets == 0 || written.get_ref().burst == 0 => {
                return Err(file.mistake(written.span(), "write packets and burst of 1 at least"));
            }
            written => written.map(Spanned::into_inner),
        };
        Ok(Config {
            limit: limit.unwrap_or(default.limit),
            lengths: lengths.unwrap_or(default.lengths),
            quiet: span(&bans.quiet)?.unwrap_or(default.quiet),
            brief: span(&bans.brief)?.unwrap_or(default.brief),
            max_brief: max_brief.unwrap_or(default.max_brief),
        })
    }
}

fn lengths(file: &File<'_>, written: Spanned<OneOrMany>) -> Result<Vec<Duration>, Mistake> {
    let place = written.span();
    let all = match written.into_inner() {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    if all.is_empty() || all.len() > MAX_LENGTHS {
        return Err(file.mistake(place, format!("write 1 to {MAX_LENGTHS} times")));
    }
    all.iter().map(|text| span(file, text, place.clone())).collect()
}

fn span(file: &File<'_>, text: &str, place: std::ops::Range<usize>) -> Result<Duration, Mistake> {
    let span = parse_span(text).map_err(|error| file.mistake(place.clone(), error))?;
    if BOUNDS.contains(&span) {
        return Ok(span);
    }
    let (least, most) = (show_span(*BOUNDS.start()), show_span(*BOUNDS.end()));
    Err(file.mistake(place, format!("write {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config = crate::config::Config::read(text).map_err(|mistake| mistake.to_string())?;
        Ok(config.bans)
    }

    #[test]
    fn lengths_are_read() {
        assert_eq!(read(""), Ok(Config::default()));
        let text =
            "[bans]\nlengths = [\"1m\", \"1h\"]\nquiet = \"1d\"\nbrief = \"30s\"\nmax-brief = 5";
        let config = read(text).unwrap();
        let lengths = [0, 1, 2, 3, u32::MAX].map(|times| config.length(times).as_secs());
        assert_eq!(lengths, [60, 60, 3600, 3600, 3600]);
        let (quiet, brief) = (config.quiet.as_secs(), config.brief.as_secs());
        assert_eq!((quiet, brief, config.max_brief), (86_400, 30, 5));
        assert_eq!(read("[bans]\nlengths = \"2h\"").unwrap().length(9).as_secs(), 7200);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("[bans]\nlengths = []", "write 1 to 32 times"),
            ("[bans]\nlengths = [\"5s\"]", "write 10s to 365d"),
            ("[bans]\nbrief = \"soon\"", "is not a time"),
            ("[bans]\nquiet = \"366d\"", "write 10s to 365d"),
            ("[bans]\nmax-brief = 100001", "write 0 to 100000"),
            ("[bans]\nlimit = { packets = 0, burst = 1 }", "of 1 at least"),
            ("[bans]\nbantime = \"1h\"", "unknown field `bantime`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.contains('^'), "{text}: {error}");
        }
    }
}
