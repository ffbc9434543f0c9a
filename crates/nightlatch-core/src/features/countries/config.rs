//! The table `[countries]` of the configuration.

use serde::Deserialize;
use toml::Spanned;

use crate::config::{File, Mistake, OneOrMany, Table};

/// The offline table of Debian's package `tor-geoipdb`.
pub const DEFAULT_SOURCE: &str = "/usr/share/tor";
/// The most sources.
const MAX: usize = 32;

/// Where the table of countries comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folders, files and addresses.
    pub source: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config { source: vec![DEFAULT_SOURCE.to_owned()] }
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    countries: Countries,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Countries {
    source: Option<Spanned<OneOrMany>>,
}

impl Table for Config {
    const NAMES: &'static [&'static str] = &["countries"];

    fn read(file: &File<'_>) -> Result<Config, Mistake> {
        let written: Written = file.parsed()?;
        let source = written.countries.source.map(|source| sources(file, source)).transpose()?;
        Ok(source.map_or_else(Config::default, |source| Config { source }))
    }
}

/// Each is checked as far as its text goes.
fn sources(file: &File<'_>, written: Spanned<OneOrMany>) -> Result<Vec<String>, Mistake> {
    let span = written.span();
    let sources = match written.into_inner() {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    if sources.is_empty() || sources.len() > MAX {
        return Err(file.mistake(span, format!("use 1 to {MAX} sources")));
    }
    let known = ["/", "file:///", "http://", "https://"];
    let sound = |source: &String| known.iter().any(|begin| source.starts_with(begin));
    match sources.iter().find(|source| !sound(source)) {
        None => Ok(sources),
        Some(wrong) => Err(file.mistake(
            span,
            format!("\"{wrong}\" is not a valid source: use an absolute path (/usr/share/tor) or an https:// or http:// URL"),
        )),
    }
}
