//! `maxretry`, `findtime` and `bantime` of a table `[[watch]]` with a filter, as fail2ban writes them.

use std::ops::RangeInclusive;
use std::time::Duration;

use nightlatch_parse::fail2ban::Reference;
use nightlatch_parse::log::Format;
use serde::Deserialize;
use toml::Spanned;

use super::Entry;
use crate::config::{File, Mistake};
use crate::detect::Thresholds;
use crate::time::{parse_span, show_span};

/// A time: a number of seconds, or a text such as `10m`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a number of seconds, or a string, e.g. \"10m\"")]
pub(super) enum Span {
    Seconds(i64),
    Text(String),
}

/// The thresholds of a table with a filter.
pub(super) fn read(file: &File<'_>, entry: &Entry, filter: &str) -> Result<Thresholds, Mistake> {
    if let (Some(place), Some(format)) = (first(entry), native(filter)) {
        let what = format!(
            "this filter is replaced by the format \"{}\", whose attempts are counted according to [attempts] and [bans]: remove maxretry, findtime and bantime here",
            format.name()
        );
        return Err(file.mistake(place, what));
    }
    let default = Thresholds::default();
    let maxretry = match &entry.maxretry {
        None => default.maxretry,
        Some(written) => {
            let bounds = Thresholds::MAXRETRY;
            let number = u32::try_from(*written.get_ref()).ok();
            number.filter(|number| bounds.contains(number)).ok_or_else(|| {
                let what = format!("write {} to {}", bounds.start(), bounds.end());
                file.mistake(written.span(), what)
            })?
        }
    };
    let findtime = span(file, entry.findtime.as_ref(), &Thresholds::FINDTIME, "")?;
    let why = ": an attacker can write another address into a line that a filter reads, so its bans are limited";
    let bantime = span(file, entry.bantime.as_ref(), &Thresholds::BANTIME, why)?;
    Ok(Thresholds {
        maxretry,
        findtime: findtime.unwrap_or(default.findtime),
        bantime: bantime.unwrap_or(default.bantime),
    })
}

/// A table without a filter has none.
pub(super) fn none(file: &File<'_>, entry: &Entry) -> Result<(), Mistake> {
    let what = "maxretry, findtime and bantime are for a table [[watch]] with a filter: without one, [attempts] and [bans] define what counts as an attack and how long a ban lasts";
    first(entry).map_or(Ok(()), |place| Err(file.mistake(place, what)))
}

/// Where the first of them is written.
fn first(entry: &Entry) -> Option<std::ops::Range<usize>> {
    let maxretry = entry.maxretry.as_ref().map(Spanned::span);
    let times = [entry.findtime.as_ref(), entry.bantime.as_ref()];
    maxretry.into_iter().chain(times.into_iter().flatten().map(Spanned::span)).next()
}

fn span(
    file: &File<'_>,
    written: Option<&Spanned<Span>>,
    bounds: &RangeInclusive<Duration>,
    why: &str,
) -> Result<Option<Duration>, Mistake> {
    let Some(written) = written else { return Ok(None) };
    let fault = |what: String| file.mistake(written.span(), what);
    let read = match written.get_ref() {
        Span::Seconds(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Span::Text(text) => {
            let text: String = text.chars().filter(|it| !it.is_whitespace()).collect();
            match text.parse::<i64>() {
                Ok(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
                Err(_) => Some(parse_span(&text).map_err(|error| fault(error.to_string()))?),
            }
        }
    };
    if let Some(span) = read.filter(|span| bounds.contains(span)) {
        return Ok(Some(span));
    }
    let (least, most) = (show_span(*bounds.start()), show_span(*bounds.end()));
    Err(fault(format!("write {least} to {most}{why}")))
}

/// The format that is read natively instead of one of fail2ban's own filters.
pub fn native(filter: &str) -> Option<Format> {
    let reference = Reference::parse(filter).ok()?;
    let name = reference.path().strip_prefix("/etc/fail2ban/filter.d/")?;
    Some(match name.strip_suffix(".conf")? {
        "asterisk" => Format::Asterisk,
        "freeswitch" => Format::Freeswitch,
        "sshd" => Format::Sshd,
        "nginx-http-auth" => Format::Nginx,
        "apache-auth" => Format::Apache,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Reads};
    use crate::config::Config;

    /// The thresholds of a table with the filter of dovecot.
    fn read(text: &str) -> Result<(u32, u64, u64), String> {
        let text = format!("[[watch]]\npath = \"/x\"\nfilter = \"dovecot\"\n{text}");
        let config = Config::read(&text).map_err(|mistake| mistake.to_string())?;
        let watched = config.watch.watched.into_iter().next().unwrap();
        assert_eq!(watched.place, Place::File("/x".to_owned()));
        let Reads::Filter { thresholds, .. } = watched.reads else { panic!("{watched:?}") };
        let [findtime, bantime] = [thresholds.findtime, thresholds.bantime].map(|it| it.as_secs());
        Ok((thresholds.maxretry, findtime, bantime))
    }

    #[test]
    fn thresholds_are_written_as_in_fail2ban() {
        assert_eq!(read(""), Ok((5, 600, 600)));
        assert_eq!(read("maxretry = 3\nfindtime = 3600\nbantime = 86400"), Ok((3, 3600, 86_400)));
        assert_eq!(read("findtime = \"1w\"\nbantime = \"1d\""), Ok((5, 604_800, 86_400)));
        assert_eq!(read("findtime = \"600\"\nbantime = \"1h 30m\""), Ok((5, 600, 5400)));
    }

    #[test]
    fn what_is_out_of_bounds_is_a_mistake() {
        for (text, expected) in [
            ("maxretry = 0", "write 1 to 100"),
            ("maxretry = 101", "write 1 to 100"),
            ("findtime = \"8d\"", "write 1s to 7d"),
            ("findtime = 0", "write 1s to 7d"),
            ("findtime = \"soon\"", "is not a time"),
            ("bantime = -1", "write 10s to 1d: an attacker can write another address into a line"),
            ("bantime = \"-1\"", "write 10s to 1d"),
            ("bantime = \"1w\"", "write 10s to 1d"),
            ("bantime = 9", "write 10s to 1d"),
            ("bantime = 99999999999999", "write 10s to 1d"),
            ("bantime = true", ""),
            ("maxretry = \"5\"", ""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.contains('^'), "{text}: {error}");
        }
    }

    #[test]
    fn only_a_filter_that_is_used_has_them() {
        for (text, expected) in [
            ("format = \"sshd\"\nmaxretry = 3", "with a filter"),
            ("pattern = \"failed from <ADDRESS>\"\nbantime = \"1h\"", "with a filter"),
            ("findtime = \"1h\"", "with a filter"),
            ("filter = \"sshd[mode=aggressive]\"\nmaxretry = 3", "by the format \"sshd\""),
        ] {
            let text = format!("[[watch]]\npath = \"/x\"\n{text}");
            let error = Config::read(&text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains('^'), "{text}: {error}");
        }
        let own = "[[watch]]\npath = \"/x\"\nfilter = \"/etc/mine/sshd.conf\"\nmaxretry = 3";
        assert!(Config::read(own).is_ok());
    }
}
