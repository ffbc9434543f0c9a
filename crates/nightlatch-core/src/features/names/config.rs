//! The table `[names]` of the configuration.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::config::{File, Mistake, Table};
use crate::time::parse_span;

/// For how long a replaced address still counts, unless the configuration says something else.
const OVERLAP: Duration = Duration::from_secs(120);
/// What it may say.
const OVERLAPS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(3600);

/// How host names are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For how long an address still counts that the name server no longer names.
    pub overlap: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config { overlap: OVERLAP }
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    names: Names,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    overlap: Option<Spanned<String>>,
}

impl Table for Config {
    const NAMES: &'static [&'static str] = &["names"];

    fn read(file: &File<'_>) -> Result<Config, Mistake> {
        let written: Written = file.parsed()?;
        let Some(written) = written.names.overlap else { return Ok(Config::default()) };
        let overlap =
            parse_span(written.get_ref()).map_err(|error| file.mistake(written.span(), error))?;
        if !OVERLAPS.contains(&overlap) {
            return Err(file.mistake(written.span(), "write 10s to 1h"));
        }
        Ok(Config { overlap })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_overlap() {
        let overlap = |text: &str| Config::read(text).map(|config| config.names.overlap.as_secs());
        assert_eq!(overlap("").ok(), Some(120));
        assert_eq!(overlap("[names]\noverlap = \"5m\"\n").ok(), Some(300));
        for text in ["5", "5s", "2h", ""] {
            assert!(overlap(&format!("[names]\noverlap = \"{text}\"\n")).is_err(), "{text}");
        }
        assert!(overlap("[names]\noverlaps = \"5m\"\n").is_err());
    }
}
