//! What the administrator says of a published list.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use nightlatch_parse::feed::Format;
use nightlatch_parse::http::HttpUrl;
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A published list of bad networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Its name, unique on this server.
    pub name: FeedName,
    /// Where it is: `https://...`, or a file's path. `${key}` stands for the key.
    pub source: String,
    /// How to read it: `auto`, `plain`, `csv:2`, `json:prefixes[].ip_prefix`.
    pub format: String,
    /// Headers to send; `${key}` stands for the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The file that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// How often to look for a new version.
    pub every: Duration,
    /// When it was added.
    pub since: Time,
    /// Who added it.
    pub by: String,
    /// From where the person came who added or fetched it last: an address that it must not shut
    /// out of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<IpAddr>,
}

/// The shortest and the longest pause between two looks at a feed.
const PACES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 86_400));
/// Stands in an address or a header for the key.
const KEY: &str = "${key}";

impl Feed {
    /// Checks what can be checked without fetching it.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn check(&self) -> Result<(), String> {
        self.format.parse::<Format>().map_err(|error| error.to_string())?;
        let is_file = self.source.starts_with('/') || self.source.starts_with("file:///");
        let is_url = self.source.starts_with("https://") || self.source.starts_with("http://");
        if !is_file && !is_url {
            return Err(format!(
                "\"{}\" must be an absolute path or start with https:// or http://",
                self.source
            ));
        }
        if is_url {
            // Whatever the key is, it is escaped.
            HttpUrl::parse(&self.source.replace(KEY, "key"))
                .map_err(|reason| format!("invalid address: {reason}"))?;
        }
        if let Some(place) = self.bare_key() {
            return Err(format!(
                "{place} looks like a key, which would appear in logs: replace it with ${{key}}, and put the key into a file given with --key-file"
            ));
        }
        let elsewhere = |host: &&str| !["127.0.0.1", "[::1]", "localhost"].contains(host);
        let host = self.source.strip_prefix("http://").map(host_of).filter(elsewhere);
        if let (Some(host), Some(_)) = (host, &self.key_file) {
            return Err(format!(
                "over http:// anyone between here and {host} could read the key: use https://"
            ));
        }
        let texts = self.headers.iter().map(|(_, value)| value).chain([&self.source]);
        let wants_key = texts.clone().any(|text| text.contains(KEY));
        match (&self.key_file, wants_key) {
            (None, true) => {
                return Err(
                    "it needs a key: put the key into a file, chmod 600 it, and use --key-file"
                        .to_owned(),
                );
            }
            (Some(path), _) if !path.starts_with('/') => {
                return Err(format!("\"{path}\" is not an absolute path"));
            }
            (Some(_), false) => {
                return Err(
                    "the key is not used: put ${key} into the address or a --header".to_owned()
                );
            }
            _ => {}
        }
        if self.every < PACES.0 || self.every > PACES.1 {
            return Err("the interval must be between 1m and 30d".to_owned());
        }
        Ok(())
    }

    /// Where a key seems to be written out that belongs into a file.
    fn bare_key(&self) -> Option<String> {
        let bare = |name: &str, value: &str| {
            let name = name.to_ascii_lowercase();
            let secret = ["auth", "authorization", "cookie", "key", "password", "secret", "token"];
            let is_secret = secret.iter().any(|word| name.ends_with(word));
            is_secret && !value.is_empty() && !value.contains(KEY)
        };
        let header = self.headers.iter().find(|(name, value)| bare(name, value));
        let query = self.source.split_once('?').map_or("", |(_, query)| query);
        let parameters = query.split('&').filter_map(|part| part.split_once('='));
        let parameter = parameters.into_iter().find(|(name, value)| bare(name, value));
        let header = header.map(|(name, _)| format!("the header {name}"));
        header.or_else(|| parameter.map(|(name, _)| format!("the parameter {name}")))
    }
}

/// The host in what follows `http://`, without its port.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The name of a feed: 1 to 40 of `a-z`, `0-9`, `-`, `_`, beginning with a letter or digit. It
/// becomes a file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FeedName(String);

impl FeedName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with the name of a feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid feed name: use 1 to 40 of a-z, 0-9, \"-\" and \"_\"")]
pub struct FeedNameError(String);

impl FromStr for FeedName {
    type Err = FeedNameError;

    fn from_str(text: &str) -> Result<FeedName, FeedNameError> {
        let name = text.to_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let well_formed = (1..=40).contains(&name.len())
            && name.bytes().all(plain)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if well_formed {
            Ok(FeedName(name))
        } else {
            Err(FeedNameError(text.chars().take(40).collect()))
        }
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<FeedName> for String {
    fn from(name: FeedName) -> String {
        name.0
    }
}

impl TryFrom<String> for FeedName {
    type Error = FeedNameError;

    fn try_from(text: String) -> Result<FeedName, FeedNameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, header: Option<(&str, &str)>, key_file: Option<&str>, wrong: &str) {
        let feed = Feed {
            name: "x".parse().unwrap(),
            source: source.to_owned(),
            format: "auto".to_owned(),
            headers: header.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            key_file: key_file.map(ToOwned::to_owned),
            every: Duration::from_secs(3600),
            since: Time::default(),
            by: String::new(),
            origin: None,
        };
        let said = feed.check().err().unwrap_or_default();
        assert_eq!(said.is_empty(), wrong.is_empty(), "{source} {header:?}: {said}");
        assert!(said.contains(wrong), "{source} {header:?}: {said}");
        assert!(!said.contains("s3cr3t"), "{said}");
    }

    #[test]
    fn keys_are_in_files() {
        let file = Some("/etc/key");
        check("https://x.example/list?limit=7&author=x", None, None, "");
        check("https://x.example/${key}/list", None, file, "");
        check("https://x.example/list?apikey=${key}", None, file, "");
        check("https://x.example/list", Some(("Authorization", "Bearer ${key}")), file, "");
        check("https://x.example/list", Some(("Accept", "text/plain")), None, "");
        check("https://x.example/${key}/list", None, None, "--key-file");
        check("https://x.example/list", None, file, "the key is not used");
        for source in ["https://x.example/?a=b&apikey=s3cr3t", "http://x.example/list?Token=s3cr3t"]
        {
            check(source, None, None, "looks like a key");
        }
        for header in ["Authorization", "X-API-Key", "Cookie", "Private-Token"] {
            check("https://x.example/", Some((header, "s3cr3t")), None, "looks like a key");
        }
        check("http://x.example:80/${key}", None, file, "anyone between here and x.example ");
        check("http://127.0.0.1:8080/${key}", None, file, "");
        check("http://[::1]/${key}", None, file, "");
        check("http://x.example/list", None, None, "");
        check("https://me:s3cr3t@x.example/", None, None, "a user name or password");
        check("https://", None, None, "has no host name");
    }
}
