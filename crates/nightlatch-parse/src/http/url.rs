//! Addresses of http and https, and where a redirect may lead.

use std::fmt;

/// No address is longer.
const MAX_LEN: usize = 4096;

/// An address of http or https. It may hold a key, so that its `Debug` shows the origin only.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    full: String,
    origin: String,
    is_safe: bool,
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/...", self.origin)
    }
}

impl HttpUrl {
    /// Reads an absolute address; a fragment is cut off, scheme and host become lower case.
    ///
    /// # Errors
    /// Says what is wrong: another scheme, no host, a name or password, spaces.
    pub fn parse(text: &str) -> Result<HttpUrl, &'static str> {
        if text.len() > MAX_LEN {
            return Err("it is too long");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("spaces and letters beyond ASCII must be escaped with %");
        }
        let text = text.split('#').next().unwrap_or_default();
        let (scheme, rest) =
            text.split_once("://").ok_or("it must start with https://, http://, file:// or /")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_safe = match scheme.as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("it must start with https://, http://, file:// or /"),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(
                "a user name or password in it would appear in logs; send it in a header with a key file",
            );
        }
        if host.is_empty() || host.starts_with(':') || host.contains('\\') {
            return Err("it has no host name");
        }
        let origin = format!("{scheme}://{}", host.to_ascii_lowercase());
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(HttpUrl { full: format!("{origin}{slash}{path}"), origin, is_safe })
    }

    /// The whole address.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// Scheme, host and port: `https://lists.example:8443`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is https.
    pub fn is_safe(&self) -> bool {
        self.is_safe
    }

    /// Where a redirect (a `Location` header) leads: only to http or https, and never from https
    /// to http.
    ///
    /// # Errors
    /// Says why it must not be followed.
    pub fn redirected(&self, location: &str) -> Result<HttpUrl, &'static str> {
        let location = location.trim();
        let path_end = self.full.find('?').unwrap_or(self.full.len());
        let (before_query, _) = self.full.split_at_checked(path_end).unwrap_or_default();
        let target = if has_scheme(location) {
            location.to_owned()
        } else if location.starts_with("//") {
            let scheme = if self.is_safe { "https:" } else { "http:" };
            format!("{scheme}{location}")
        } else if location.starts_with('/') {
            format!("{}{location}", self.origin)
        } else if location.starts_with('?') {
            format!("{before_query}{location}")
        } else {
            let folder = before_query.rfind('/').unwrap_or_default();
            let (folder, _) = before_query.split_at_checked(folder).unwrap_or_default();
            format!("{folder}/{location}")
        };
        let target = HttpUrl::parse(&target)?;
        if self.is_safe && !target.is_safe {
            return Err("it goes from https to http, where anyone could change the list");
        }
        Ok(target)
    }
}

/// Whether a text begins with a scheme: `file:`, `https:`, `javascript:`.
fn has_scheme(text: &str) -> bool {
    let end = text.find([':', '/', '?', '#']);
    end.is_some_and(|end| end > 0 && text.as_bytes().get(end) == Some(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("https://lists.example/a?b=c#d", "https://lists.example/a?b=c"),
            ("HTTPS://Lists.Example", "https://lists.example/"),
            ("http://192.0.2.1:8080?x", "http://192.0.2.1:8080/?x"),
            ("https://[2001:db8::1]:8/x", "https://[2001:db8::1]:8/x"),
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().full(), expected, "{text}");
        }
        for (text, message) in [
            ("", "must start with https://"),
            ("ftp://x.example/", "must start with https://"),
            ("lists.example/a", "must start with https://"),
            ("file:///etc/passwd", "must start with https://"),
            ("https://", "has no host name"),
            ("https://:80/", "has no host name"),
            ("https://me:pw@x.example/", "a user name or password in it"),
            ("https://x.example/a b", "must be escaped"),
        ] {
            let error = HttpUrl::parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        let url = HttpUrl::parse("https://x.example/k3y/list").unwrap();
        assert_eq!(format!("{url:?}"), "https://x.example/...");
    }

    #[test]
    fn redirects() {
        let from = |text: &str| HttpUrl::parse(text).unwrap();
        let safe = from("https://a.example/x/y?z=1");
        for (location, expected) in [
            ("https://b.example/q", "https://b.example/q"),
            ("//b.example/q", "https://b.example/q"),
            ("/q", "https://a.example/q"),
            ("q", "https://a.example/x/q"),
            ("?z=2", "https://a.example/x/y?z=2"),
            ("q?u=http://c.example", "https://a.example/x/q?u=http://c.example"),
        ] {
            let target = safe.redirected(location).ok().map(|url| url.full().to_owned());
            assert_eq!(target.as_deref(), Some(expected), "{location}");
        }
        for location in [
            "http://a.example/x",
            "file:///etc/shadow",
            "FILE:/etc/shadow",
            "javascript:x",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "/\r\nX: y",
            "https:x",
        ] {
            assert!(safe.redirected(location).is_err(), "{location}");
        }
        let plain = from("http://a.example");
        assert!(plain.redirected("https://a.example/").is_ok_and(|url| url.is_safe()));
        assert!(plain.redirected("http://b.example/").is_ok());
    }
}
