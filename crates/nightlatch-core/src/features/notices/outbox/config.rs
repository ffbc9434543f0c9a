//! The table `[notices]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

use super::Severity;
use crate::time::parse_span;

/// The most words of the command, its path included.
const MAX_WORDS: usize = 32;
/// The most bytes of one word.
const MAX_WORD: usize = 1000;
/// The most runs an hour that can be configured.
const MAX_PER_HOUR: u32 = 1000;
const MIN_PERIOD: Duration = Duration::from_secs(60);
const MAX_PERIOD: Duration = Duration::from_secs(7 * 86_400);

/// What the administrator wants to hear, and how. The default delivers nothing: notices are only
/// listed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    /// The command that gets each notice: an absolute path and its arguments. Empty: none.
    pub command: Vec<String>,
    /// The user that the command runs as.
    pub user: String,
    /// Equal notices within this period are one.
    pub period: Duration,
    /// How often the command is run within an hour, at most.
    pub per_hour: u32,
    /// The least severity that is delivered.
    pub severity: Severity,
}

impl Settings {
    /// Whether there is a command to deliver to.
    pub(super) fn delivers(&self) -> bool {
        !self.command.is_empty()
    }

    /// Whether these run the same command as the same user.
    pub(in super::super) fn runs_like(&self, other: &Settings) -> bool {
        self.command == other.command && self.user == other.user
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            command: Vec::new(),
            user: "nobody".to_owned(),
            period: Duration::from_secs(3600),
            per_hour: 20,
            severity: Severity::Info,
        }
    }
}

/// What is wrong in `[notices]`, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `command = []`.
    #[error("notices.command is empty: write the path of a program, or remove the line")]
    NoCommand,
    /// No path from the root.
    #[error("invalid path in notices.command: \"{0}\"; use an absolute path, without \"..\"")]
    Path(String),
    /// Too many or too long words, or a NUL.
    #[error(
        "invalid notices.command: write at most {MAX_WORDS} words of at most {MAX_WORD} bytes, without NUL"
    )]
    Words,
    /// No name of a user.
    #[error("invalid notices.user: \"{0}\"; write the name of a local user, e.g. nobody")]
    User(String),
    /// The command would run with all rights.
    #[error("notices.user must not be root: notices contain text that attackers choose")]
    Root,
    /// No span of time.
    #[error("invalid notices.period: {0}")]
    Period(String),
    /// A span that is too short or too long.
    #[error("invalid notices.period: write a time from 1m to 7d")]
    PeriodRange,
    /// Too few or too many.
    #[error("invalid notices.per-hour: write a number from 1 to {MAX_PER_HOUR}")]
    PerHour,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    command: Option<Vec<String>>,
    user: Option<String>,
    period: Option<String>,
    per_hour: Option<u32>,
    severity: Option<Severity>,
}

impl TryFrom<Written> for Settings {
    type Error = ConfigError;

    fn try_from(written: Written) -> Result<Settings, ConfigError> {
        let default = Settings::default();
        Ok(Settings {
            command: written.command.map_or(Ok(default.command), command)?,
            user: written.user.map_or(Ok(default.user), user)?,
            period: written.period.map_or(Ok(default.period), |text| period(&text))?,
            per_hour: match written.per_hour {
                Some(number) if !(1..=MAX_PER_HOUR).contains(&number) => {
                    return Err(ConfigError::PerHour);
                }
                number => number.unwrap_or(default.per_hour),
            },
            severity: written.severity.unwrap_or(default.severity),
        })
    }
}

fn command(words: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let path = words.first().ok_or(ConfigError::NoCommand)?;
    if words.len() > MAX_WORDS
        || words.iter().any(|word| word.len() > MAX_WORD || word.contains('\0'))
    {
        return Err(ConfigError::Words);
    }
    let is_plain = path.split('/').all(|part| part != "..") && !path.contains(char::is_control);
    if !path.starts_with('/') || path.ends_with('/') || !is_plain {
        return Err(ConfigError::Path(super::text::visible(path, 100)));
    }
    Ok(words)
}

/// As Debian's `adduser` allows names, and a `$` at no place.
fn user(name: String) -> Result<String, ConfigError> {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on = characters.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !begins || !goes_on || name.len() > 32 {
        return Err(ConfigError::User(super::text::visible(&name, 40)));
    }
    if name == "root" { Err(ConfigError::Root) } else { Ok(name) }
}

fn period(text: &str) -> Result<Duration, ConfigError> {
    let span = parse_span(text).map_err(|error| ConfigError::Period(error.to_string()))?;
    let is_sound = (MIN_PERIOD..=MAX_PERIOD).contains(&span);
    if is_sound { Ok(span) } else { Err(ConfigError::PeriodRange) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str::<Settings>(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(read("").unwrap(), Settings::default());
    }

    #[test]
    fn a_whole_table() {
        let settings = read(
            "command = [\"/usr/local/bin/tell-me\", \"arg\"]\nuser = \"www-data\"\n\
             period = \"1h30m\"\nper-hour = 5\nseverity = \"warning\"\n",
        );
        let settings = settings.unwrap();
        assert_eq!(settings.command, ["/usr/local/bin/tell-me", "arg"]);
        assert_eq!((settings.user.as_str(), settings.period.as_secs()), ("www-data", 5400));
        assert_eq!((settings.per_hour, settings.severity), (5, Severity::Warning));
    }

    #[test]
    fn a_mistake_has_its_place() {
        #[derive(Debug, Deserialize)]
        struct File {
            #[expect(dead_code, reason = "only its mistakes count")]
            notices: Settings,
        }
        let text = "media = \"any\"\n\n[notices]\nuser = \"root\"\n";
        let span = toml::from_str::<File>(text).unwrap_err().span();
        assert_eq!(span.map(|span| &text[span]), Some("[notices]"));
    }

    #[test]
    fn mistakes() {
        let many = format!("command = [\"/x\"{}]", ", \"a\"".repeat(32));
        for (text, begin) in [
            ("command = []", "notices.command is empty"),
            ("command = [\"tell-me\"]", "invalid path in notices.command: \"tell-me\""),
            ("command = [\"/bin/../x\"]", "invalid path"),
            ("command = [\"/bin/\"]", "invalid path"),
            ("command = [\"/bin/a\\nb\"]", "invalid path in notices.command: \"/bin/a\\nb\""),
            ("command = [\"/x\", \"a\\u0000\"]", "invalid notices.command"),
            (&many, "invalid notices.command"),
            ("command = \"/bin/x\"", "invalid type: string"),
            ("user = \"root\"", "notices.user must not be root"),
            ("user = \"\"", "invalid notices.user"),
            ("user = \"a:b\"", "invalid notices.user: \"a:b\""),
            ("user = \"-x\"", "invalid notices.user"),
            ("period = \"1\"", "invalid notices.period: \"1\" is not a time"),
            ("period = \"5s\"", "invalid notices.period: write"),
            ("period = \"8d\"", "invalid notices.period: write"),
            ("per-hour = 0", "invalid notices.per-hour"),
            ("per-hour = 1001", "invalid notices.per-hour"),
            ("severity = \"debug\"", "unknown variant `debug`"),
            ("comand = []", "unknown field `comand`"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.starts_with(begin), "{text}: {message}");
        }
    }
}
