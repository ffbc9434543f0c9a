//! The table `[users]` of the configuration.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::config::{File, Mistake, Table};
use crate::time::{parse_span, show_span};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What the idle limit may be; it is not longer than the absolute limit either.
pub(super) const IDLE: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * DAY);
/// What the absolute limit may be.
const MAX_DURATION: RangeInclusive<Duration> =
    Duration::from_secs(HOUR)..=Duration::from_secs(30 * DAY);

/// How long an address stays open that a credential of a user opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long without an accepted packet, unless the user has a limit of its own.
    pub idle: Duration,
    /// How long in any case.
    pub longest: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config { idle: Duration::from_secs(8 * HOUR), longest: Duration::from_secs(7 * DAY) }
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    users: Users,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Users {
    lease: Option<Spanned<String>>,
    lease_max: Option<Spanned<String>>,
}

impl Table for Config {
    const NAMES: &'static [&'static str] = &["users"];

    fn read(file: &File<'_>) -> Result<Config, Mistake> {
        let Written { users } = file.parsed()?;
        let default = Config::default();
        let idle = users.lease.as_ref().map(|it| span(file, it, &IDLE)).transpose()?;
        let longest =
            users.lease_max.as_ref().map(|it| span(file, it, &MAX_DURATION)).transpose()?;
        let longest = longest.unwrap_or(default.longest);
        let config = Config { idle: idle.unwrap_or(default.idle.min(longest)), longest };
        match users.lease {
            Some(written) if config.idle > config.longest => {
                let longest = show_span(config.longest);
                let what = format!(
                    "an address stays open for {longest} at most (lease-max): write a shorter lease, or a longer lease-max"
                );
                Err(file.mistake(written.span(), what))
            }
            _ => Ok(config),
        }
    }
}

fn span(
    file: &File<'_>,
    written: &Spanned<String>,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, Mistake> {
    let span = parse_span(written.get_ref());
    let span = span.map_err(|error| file.mistake(written.span(), error))?;
    if bounds.contains(&span) {
        return Ok(span);
    }
    let (least, most) = (show_span(*bounds.start()), show_span(*bounds.end()));
    Err(file.mistake(written.span(), format!("write {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config = crate::config::Config::read(text).map_err(|mistake| mistake.to_string())?;
        Ok(config.users)
    }

    #[test]
    fn the_limits_are_read() {
        let hours = |hours| Duration::from_secs(hours * HOUR);
        for (text, idle, longest) in [
            ("", hours(8), hours(168)),
            ("[users]\nlease = \"30m\"", Duration::from_secs(1800), hours(168)),
            ("[users]\nlease-max = \"2h\"", hours(2), hours(2)),
            ("[users]\nlease = \"30d\"\nlease-max = \"30d\"", hours(720), hours(720)),
        ] {
            assert_eq!(read(text), Ok(Config { idle, longest }), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("[users]\nlease = \"59s\"", "write 1m to 30d"),
            ("[users]\nlease = \"31d\"", "write 1m to 30d"),
            ("[users]\nlease = \"soon\"", "is not a time"),
            ("[users]\nlease-max = \"59m\"", "write 1h to 30d"),
            ("[users]\nlease = \"8d\"", "for 7d at most"),
            ("[users]\nkeys = \"spa\"", "unknown field `keys`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.contains('^'), "{text}: {error}");
        }
    }
}
