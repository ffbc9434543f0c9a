//! Where a list is: a file or a server.

use std::path::PathBuf;

use nightlatch_parse::http::HttpUrl;

use super::secret::Secret;
use super::{FetchError, PLACEHOLDER};

/// Where a list is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Http(HttpUrl),
}

impl Place {
    /// Reads an address with the placeholder, and puts the key in.
    pub(super) fn parse(address: &str, key: Option<&Secret>) -> Result<Place, FetchError> {
        let address = address.trim();
        let wrong = |reason: &'static str| FetchError::Address {
            address: address.chars().take(200).collect(),
            reason,
        };
        let path = address.strip_prefix("file://").unwrap_or(address);
        if path.starts_with('/') {
            return Ok(Place::File(PathBuf::from(path)));
        }
        let full = match key {
            Some(key) => key.fill_address(address),
            None if address.contains(PLACEHOLDER) => {
                return Err(wrong("it contains ${key}, but no key file was given"));
            }
            None => address.to_owned(),
        };
        HttpUrl::parse(&full).map(Place::Http).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, key: Option<&str>) -> String {
        match Place::parse(text, key.and_then(Secret::new).as_ref()) {
            Ok(Place::Http(url)) => url.full().to_owned(),
            Ok(Place::File(path)) => format!("file {}", path.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn places() {
        for (text, key, expected) in [
            (" https://x.example/a ", None, "https://x.example/a"),
            ("https://x.example/${key}/list", Some("a/b"), "https://x.example/a%2Fb/list"),
            ("file:///var/lib/list", None, "file /var/lib/list"),
            ("/var/lib/list", Some("k"), "file /var/lib/list"),
        ] {
            assert_eq!(place(text, key), expected, "{text}");
        }
        for (text, message) in [
            ("https://x.example/${key}", "no key file was given"),
            ("file://host/a", "must start with https://"),
        ] {
            let error = place(text, None);
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
