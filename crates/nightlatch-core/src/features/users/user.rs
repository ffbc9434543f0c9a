//! Users: persons with credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hours::Hours;
use crate::service::Grant;
use crate::time::Time;

/// A person with credentials, as far as it is public. The secrets are a record of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name, unique on this server.
    pub name: UserName,
    /// The services that the credentials open.
    pub services: Grant,
    /// What each credential is known by.
    pub credentials: BTreeMap<Kind, Credential>,
    /// After how many seconds without an accepted packet an address is closed; that of the configuration
    /// where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
    /// The hours during which what is open counts; always where absent. A call that runs at their end
    /// continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Whether a knock opens an address for as long as it is used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
    /// Whether SPA packets open other addresses than the one from which they come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_address: bool,
    /// Whether SPA packets must name the address that they open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_address: bool,
    /// What the administrator wrote down about the person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When the user was made.
    pub since: Time,
    /// Who made it.
    pub by: String,
    /// When the card was shown last, with the credentials of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_shown: Option<Time>,
}

impl User {
    /// After how long without an accepted packet an address is closed, if not as configured.
    pub fn idle(&self) -> Option<Duration> {
        self.idle_seconds.map(Duration::from_secs)
    }
}

/// What a credential is known by in lists and in the audit log. It follows from nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Eight random bytes, in hexadecimal.
    pub fingerprint: String,
    /// When it was made.
    pub since: Time,
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sequence of ports.
    Knock,
    /// Keys for single packet authorization.
    Spa,
    /// A secret user agent of a SIP phone.
    Agent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Knock, Kind::Spa, Kind::Agent];

    /// Reads a list such as `knock,spa`, or `none`.
    ///
    /// # Errors
    /// What is no kind of credential.
    pub fn parse_list(text: &str) -> Result<BTreeSet<Kind>, KindError> {
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(BTreeSet::new());
        }
        text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Knock => "knock",
            Kind::Spa => "spa",
            Kind::Agent => "agent",
        })
    }
}

/// Not a kind of credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of credential \"{0}\": use one or more of knock, spa, agent, or none")]
pub struct KindError(String);

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Kind, KindError> {
        let found = Kind::ALL.into_iter().find(|kind| text.eq_ignore_ascii_case(&kind.to_string()));
        found.ok_or_else(|| KindError(text.chars().take(40).collect()))
    }
}

/// Not the name of a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid user name: use 1 to 64 letters, digits, \".\", \"_\", \"-\", \"@\", no space"
)]
pub struct NameError(String);

/// The name of a user: 1 to 64 letters, digits, `.`, `_`, `-`, `@`, and no `-` or `.` first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UserName(Arc<str>);

impl UserName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<UserName, NameError> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        let well_formed = text.chars().all(plain)
            && (1..=64).contains(&text.chars().count())
            && !text.starts_with(['-', '.']);
        if well_formed {
            Ok(UserName(text.into()))
        } else {
            Err(NameError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for UserName {
    type Error = NameError;

    fn try_from(text: String) -> Result<UserName, NameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        for text in ["anna", "Büro-2", "anna@example.net", "701", "a.b_c"] {
            assert_eq!(text.parse::<UserName>().unwrap().as_str(), text);
        }
        for text in ["", "my office", "-x", "../etc", "a/b", "secret/a", "a\nb", &"x".repeat(65)] {
            assert!(text.parse::<UserName>().is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_of_credentials() {
        for (text, expected) in [
            ("knock,spa,agent", vec![Kind::Knock, Kind::Spa, Kind::Agent]),
            ("SPA, knock", vec![Kind::Knock, Kind::Spa]),
            ("none", vec![]),
        ] {
            assert_eq!(Kind::parse_list(text).unwrap().into_iter().collect::<Vec<_>>(), expected);
        }
        let error = Kind::parse_list("spa,key").unwrap_err().to_string();
        assert!(
            error.contains("kind of credential \"key\"") && error.contains("knock, spa, agent")
        );
    }
}
