//! The tables `[[watch]]` of the configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nightlatch_parse::fail2ban::Reference;
use nightlatch_parse::log::{Format, Pattern, PatternError, UnknownFormat};
use serde::Deserialize;
use toml::Spanned;

use crate::config::{File, Mistake, OneOrMany, Table};
use crate::detect::{Settings, Thresholds};
use crate::near::nearest;
use crate::service::ServiceName;
use thresholds::Span;

pub use thresholds::native;

mod thresholds;

/// The most tables.
pub const MAX_WATCHED: usize = 64;
/// The most patterns of one table.
const MAX_PATTERNS: usize = 64;
/// The longest path, pattern, or name of a filter or unit, in bytes.
const MAX_TEXT: usize = 4096;
/// The longest name of a user of a manager interface, in bytes: Asterisk keeps so many.
const MAX_USER: usize = 79;
/// The port of a manager interface that names none.
const MANAGER_PORT: u16 = 5038;

/// Which logs are read besides those that are found, and what counts as an attack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Each of the logs.
    pub watched: Vec<Watched>,
    /// What counts as an attack.
    pub attempts: Box<Settings>,
}

impl Config {
    /// The thresholds of the first table with that filter.
    pub fn thresholds_of(&self, filter: &str) -> Option<Thresholds> {
        self.watched.iter().find_map(|watched| match &watched.reads {
            Reads::Filter { name, thresholds } if name == filter => Some(*thresholds),
            _ => None,
        })
    }
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where it is.
    pub place: Place,
    /// How it is read.
    pub reads: Reads,
    /// At which services its lines tell of attempts; those of the format where there are none.
    pub services: BTreeSet<ServiceName>,
    /// For the manager interface of an Asterisk: as whom to log in; a user of Asterisk's own `manager.conf`
    /// where there is none.
    pub login: Option<Login>,
}

/// As whom to log in at a manager interface. The secret is in a file of its own, because configurations are
/// copied and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The path of the file whose first line is the secret; that of `manager.conf` where there is none.
    pub secret_file: Option<String>,
}

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The path of a file.
    File(String),
    /// A unit whose lines are in the journal.
    Journal(String),
    /// What in the journal a filter of fail2ban describes by its `journalmatch`: the filter.
    Described(String),
    /// The manager interface of an Asterisk.
    Manager(SocketAddr),
}

/// How a log is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// By the format that reads its lines.
    Detected,
    /// By a format.
    Format(Format),
    /// By a filter of fail2ban.
    Filter {
        /// Its path, or its name and options.
        name: String,
        /// What counts as an attack there.
        thresholds: Thresholds,
    },
    /// By patterns of the administrator.
    Patterns(Vec<Pattern>),
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    watch: Vec<Spanned<Entry>>,
    #[serde(default)]
    attempts: Option<Spanned<Settings>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: Option<Spanned<String>>,
    journal: Option<Spanned<String>>,
    ami: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    #[serde(rename = "secret-file")]
    secret_file: Option<Spanned<String>>,
    format: Option<Spanned<String>>,
    filter: Option<Spanned<String>>,
    pattern: Option<Spanned<OneOrMany>>,
    maxretry: Option<Spanned<i64>>,
    findtime: Option<Spanned<Span>>,
    bantime: Option<Spanned<Span>>,
    #[serde(default)]
    services: Vec<Spanned<String>>,
}

impl Table for Config {
    const NAMES: &'static [&'static str] = &["watch", "attempts"];

    fn read(file: &File<'_>) -> Result<Config, Mistake> {
        let written: Written = file.parsed()?;
        if let Some(more) = written.watch.get(MAX_WATCHED) {
            let what = format!("more than {MAX_WATCHED} tables [[watch]]: remove some");
            return Err(file.mistake(more.span(), what));
        }
        let mut watched: Vec<Watched> = Vec::new();
        for entry in written.watch {
            let span = entry.span();
            let next = one(file, entry)?;
            if watched.iter().any(|other| other.place == next.place) {
                let what = "another table [[watch]] already has this log: remove one";
                return Err(file.mistake(span, what));
            }
            watched.push(next);
        }
        let attempts = match written.attempts {
            None => Settings::default(),
            Some(written) => within_bounds(file, written)?,
        };
        Ok(Config { watched, attempts: Box::new(attempts) })
    }
}

/// What makes no sense is a mistake, and not replaced by what does.
fn within_bounds(file: &File<'_>, written: Spanned<Settings>) -> Result<Settings, Mistake> {
    let span = written.span();
    let settings = written.into_inner();
    if settings.clone().bounded() == settings {
        return Ok(settings);
    }
    let what = "a value under [attempts] is too small or too large, or slow-attempts and slow-within are less than quick-attempts and quick-within: the limits are in \"man nightlatch-watch\"";
    Err(file.mistake(span, what))
}

fn one(file: &File<'_>, entry: Spanned<Entry>) -> Result<Watched, Mistake> {
    let span = entry.span();
    let mut entry = entry.into_inner();
    let pattern = entry.pattern.take();
    let Entry { path, journal, ami, user, secret_file, format, filter, services, .. } = &entry;
    let place = match (path, journal, ami) {
        (Some(path), None, None) => Place::File(sound_path(file, path)?),
        (None, Some(unit), None) => Place::Journal(sound_unit(file, unit)?),
        (None, None, Some(ami)) => Place::Manager(manager(file, ami)?),
        (None, None, None) if filter.is_some() => {
            Place::Described(described(file, span, filter.as_ref())?)
        }
        (None, None, None) => {
            let what = "a table [[watch]] needs path = \"/var/log/...\", journal = \"UNIT\", or ami = \"127.0.0.1:5038\"";
            return Err(file.mistake(span, what));
        }
        (_, Some(second), _) | (_, _, Some(second)) => {
            let what = "a table [[watch]] has one of path, journal and ami: write a second one";
            return Err(file.mistake(second.span(), what));
        }
    };
    let login = login(file, &place, user.as_ref(), secret_file.as_ref())?;
    let is_manager = matches!(place, Place::Manager(_));
    let other = format.as_ref().or(filter.as_ref()).map(Spanned::span);
    let other = other.or(pattern.as_ref().map(Spanned::span));
    let other = other.or(services.first().map(Spanned::span));
    if let Some(other) = other.filter(|_| is_manager) {
        let what = "format, filter, pattern and services do not apply to the events of a manager interface: remove them";
        return Err(file.mistake(other, what));
    }
    let reads = match (format, filter, pattern) {
        (None, None, None) => Reads::Detected,
        (Some(format), None, None) => Reads::Format(known_format(file, format)?),
        (None, Some(filter), None) => {
            let reference = Reference::parse(filter.get_ref());
            reference.map_err(|error| file.mistake(filter.span(), error))?;
            let name = sound(file, filter, "filter")?;
            let thresholds = thresholds::read(file, &entry, &name)?;
            Reads::Filter { name, thresholds }
        }
        (None, None, Some(pattern)) => Reads::Patterns(patterns(file, pattern)?),
        (_, Some(second), _) => return Err(one_of_three(file, second.span())),
        (_, _, Some(second)) => return Err(one_of_three(file, second.span())),
    };
    if !matches!(reads, Reads::Filter { .. }) {
        thresholds::none(file, &entry)?;
    }
    let services = services.iter().map(|name| file.value(name));
    let services = services.collect::<Result<_, _>>()?;
    Ok(Watched { place, reads, services, login })
}

/// The address of a manager interface. Names are not resolved: whoever answers gets to see who logs in.
fn manager(file: &File<'_>, written: &Spanned<String>) -> Result<SocketAddr, Mistake> {
    let text = written.get_ref();
    let address = || text.parse::<IpAddr>().ok().map(|it| SocketAddr::new(it, MANAGER_PORT));
    let found = text.parse::<SocketAddr>().ok().or_else(address);
    found.filter(|it| it.port() != 0 && !it.ip().is_unspecified()).ok_or_else(|| {
        let what =
            "write the address of a manager interface, e.g. \"127.0.0.1:5038\" or \"[::1]:5038\"";
        file.mistake(written.span(), what)
    })
}

fn login(
    file: &File<'_>,
    place: &Place,
    user: Option<&Spanned<String>>,
    secret_file: Option<&Spanned<String>>,
) -> Result<Option<Login>, Mistake> {
    let given = user.or(secret_file).map(Spanned::span);
    let (Place::Manager(_), Some(span)) = (place, given.clone()) else {
        return match given {
            Some(span) => Err(file.mistake(span, "user and secret-file belong to ami = \"...\"")),
            None => Ok(None),
        };
    };
    let Some(user) = user else {
        return Err(file.mistake(span, "secret-file needs user = \"...\""));
    };
    let name = sound(file, user, "user")?;
    if name.len() > MAX_USER || name.contains(|c: char| c.is_control() || "[]".contains(c)) {
        let what = "write the user as it appears in brackets in manager.conf";
        return Err(file.mistake(user.span(), what));
    }
    let secret_file = secret_file.map(|path| sound_path(file, path)).transpose()?;
    Ok(Some(Login { user: name, secret_file }))
}

fn one_of_three(file: &File<'_>, span: std::ops::Range<usize>) -> Mistake {
    file.mistake(span, "a table [[watch]] has one of format, filter and pattern: remove the others")
}

fn known_format(file: &File<'_>, written: &Spanned<String>) -> Result<Format, Mistake> {
    let name = written.get_ref();
    name.parse().map_err(|_: UnknownFormat| {
        let known = Format::all().iter().map(|format| format.name());
        let all: Vec<&str> = known.clone().collect();
        let meant = match nearest(name, known) {
            Some(meant) => format!("did you mean \"{meant}\"? The formats are "),
            None => "write one of ".to_owned(),
        };
        let shown: String = name.chars().take(40).collect();
        let what = format!("unknown format: \"{shown}\": {meant}{}", all.join(", "));
        file.mistake(written.span(), what)
    })
}

fn sound_path(file: &File<'_>, written: &Spanned<String>) -> Result<String, Mistake> {
    let path = sound(file, written, "path")?;
    let is_file = path.starts_with('/') && !path.ends_with('/');
    if !is_file || path.split('/').any(|part| part == "..") {
        let what = "use an absolute path, without \"..\", e.g. \"/var/log/asterisk/messages\"";
        return Err(file.mistake(written.span(), what));
    }
    if path.contains(['*', '?', '[']) {
        let what = "*, ? and [ are not supported in a path: write a table [[watch]] for each file";
        return Err(file.mistake(written.span(), what));
    }
    Ok(path)
}

/// Without path and unit, a filter says itself what it reads, unless a format replaces it.
fn described(
    file: &File<'_>,
    span: std::ops::Range<usize>,
    filter: Option<&Spanned<String>>,
) -> Result<String, Mistake> {
    let name = filter.map(|filter| filter.get_ref().clone()).unwrap_or_default();
    match native(&name) {
        None => Ok(name),
        Some(format) => {
            let what = format!(
                "this filter is replaced by the format \"{}\": add path = \"/var/log/...\", or journal = \"UNIT\"; standard logs are read without a table (\"nightlatch watch list\")",
                format.name()
            );
            Err(file.mistake(span, what))
        }
    }
}

/// A unit without ending is a service.
fn sound_unit(file: &File<'_>, written: &Spanned<String>) -> Result<String, Mistake> {
    let unit = sound(file, written, "unit")?;
    let is_sound = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if !unit.chars().all(is_sound) || unit.starts_with('-') || unit.len() > 255 {
        let what =
            "invalid name of a unit: write it as \"systemctl\" shows it, e.g. \"asterisk.service\"";
        return Err(file.mistake(written.span(), what));
    }
    Ok(if unit.contains('.') { unit } else { format!("{unit}.service") })
}

/// A text that is there, and not too long.
fn sound(file: &File<'_>, written: &Spanned<String>, name: &str) -> Result<String, Mistake> {
    let text = written.get_ref();
    if text.is_empty() || text.len() > MAX_TEXT || text.contains(['\0', '\n']) {
        let what = format!("the {name} has to be one line of 1 to {MAX_TEXT} bytes");
        return Err(file.mistake(written.span(), what));
    }
    Ok(text.clone())
}

fn patterns(file: &File<'_>, written: Spanned<OneOrMany>) -> Result<Vec<Pattern>, Mistake> {
    let span = written.span();
    let patterns = match written.into_inner() {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    if patterns.is_empty() || patterns.len() > MAX_PATTERNS {
        return Err(file.mistake(span, format!("write 1 to {MAX_PATTERNS} patterns")));
    }
    let patterns = patterns.iter().map(|pattern| {
        pattern.parse().map_err(|error: PatternError| file.mistake(span.clone(), error))
    });
    patterns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> super::Config {
        Config::read(text).unwrap().watch
    }

    fn check(text: &str, line: usize, column: usize, what: &str) {
        let mistake = Config::read(text).unwrap_err();
        assert_eq!((mistake.line, mistake.column), (line, column), "{mistake}");
        assert!(mistake.what.contains(what), "{mistake}");
    }

    #[test]
    fn logs() {
        let config = read(
            "[[watch]]\npath = \"/var/log/x\"\n[[watch]]\njournal = \"asterisk\"\nformat = \"asterisk\"\nservices = [\"sip\"]\n[[watch]]\npath = \"/y\"\npattern = \"login failed from <ADDRESS>\"\n[[watch]]\npath = \"/z\"\nfilter = \"sshd[mode=aggressive]\"\n",
        );
        let [x, journal, y, z] = config.watched.as_slice() else { panic!("{config:?}") };
        assert_eq!((&x.place, &x.reads), (&Place::File("/var/log/x".to_owned()), &Reads::Detected));
        assert_eq!(journal.place, Place::Journal("asterisk.service".to_owned()));
        assert_eq!(journal.reads, Reads::Format(Format::Asterisk));
        assert_eq!(journal.services.len(), 1);
        assert!(matches!(y.reads, Reads::Patterns(_)));
        let (name, thresholds) = ("sshd[mode=aggressive]".to_owned(), Thresholds::default());
        assert_eq!(z.reads, Reads::Filter { name, thresholds });
        assert_eq!(*config.attempts, Settings::default());
        let config = read("[[watch]]\nfilter = \"dovecot\"\n");
        assert_eq!(config.watched[0].place, Place::Described("dovecot".to_owned()));
    }

    #[test]
    fn manager_interfaces() {
        let config = read(
            "[[watch]]\nami = \"127.0.0.1\"\n[[watch]]\nami = \"[2001:db8::1]:5039\"\nuser = \"nightlatch\"\nsecret-file = \"/etc/nightlatch/ami\"\n",
        );
        let [near, far] = config.watched.as_slice() else { panic!("{config:?}") };
        assert_eq!(near.place, Place::Manager("127.0.0.1:5038".parse().unwrap()));
        assert_eq!(near.login, None);
        assert_eq!(far.place, Place::Manager("[2001:db8::1]:5039".parse().unwrap()));
        let secret_file = Some("/etc/nightlatch/ami".to_owned());
        assert_eq!(far.login, Some(Login { user: "nightlatch".to_owned(), secret_file }));
    }

    #[test]
    fn mistakes() {
        let one = |rest: &str| format!("[[watch]]\npath = \"/x\"\n{rest}");
        check("[[watch]]\nformat = \"sshd\"\n", 1, 1, "needs path");
        check("[[watch]]\nfilter = \"sshd\"\n", 1, 1, "by the format \"sshd\": add path");
        check("[[watch]]\nami = \"localhost\"\n", 2, 7, "127.0.0.1:5038");
        check("[[watch]]\nami = \"0.0.0.0\"\n", 2, 7, "127.0.0.1:5038");
        let manager = |rest: &str| format!("[[watch]]\nami = \"::1\"\n{rest}");
        check(&manager("format = \"asterisk\"\n"), 3, 10, "do not apply");
        check(&manager("services = [\"sip\"]\n"), 3, 13, "do not apply");
        check(&manager("secret-file = \"/x\"\n"), 3, 15, "needs user");
        check(&manager("user = \"a]\"\n"), 3, 8, "in brackets");
        check(&manager("user = \"a\"\nsecret-file = \"x\"\n"), 4, 15, "an absolute path");
        check(&manager("path = \"/x\"\n"), 2, 7, "one of path, journal and ami");
        check("[[watch]]\npath = \"x.log\"\n", 2, 8, "an absolute path");
        check("[[watch]]\npath = \"/var/../x\"\n", 2, 8, "without \"..\"");
        check("[[watch]]\npath = \"/var/log/*.log\"\n", 2, 8, "for each file");
        check(&one("journal = \"ssh\"\n"), 3, 11, "one of path, journal and ami");
        check(&one("user = \"x\"\n"), 3, 8, "belong to ami");
        check(&one("format = \"astersik\"\n"), 3, 10, "did you mean \"asterisk\"?");
        check(&one("format = \"xyz\"\n"), 3, 10, "write one of asterisk, ");
        check(&one("format = \"sshd\"\nfilter = \"sshd\"\n"), 4, 10, "one of format, filter");
        check(&one("pattern = \"no address\"\n"), 3, 11, "<ADDRESS>");
        check(&one("pattern = []\n"), 3, 11, "1 to 64 patterns");
        check(&one("filter = \"a[b\"\n"), 3, 10, "bracket");
        check(&one("services = [\"s p\"]\n"), 3, 13, "");
        check(&one("colour = 1\n"), 3, 1, "unknown field");
        check(&one("[[watch]]\npath = \"/x\"\n"), 3, 1, "already");
        check("[[watch]]\njournal = \"-x\"\n", 2, 11, "invalid name of a unit");
    }

    #[test]
    fn what_counts_as_an_attack() {
        let attempts = read("[attempts]\nquick-attempts = 10\nquick-within = \"5m\"\n").attempts;
        assert_eq!((attempts.quick_attempts, attempts.quick_within.as_secs()), (10, 300));
        check("[attempts]\nquick-attempts = 0\n", 1, 1, "too small or too large");
        check("[attempts]\nquick-within = \"5\"\n", 2, 16, "");
        check("[attempts]\nquick = 5\n", 2, 1, "unknown field");
    }
}
