//! What Asterisk's `manager.conf` says: where its manager interface is, and who may hear of security events.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nightlatch_core::secret::Secret;

/// The port where none is written.
const PORT: u16 = 5038;
/// The most sections that are read.
const MAX_SECTIONS: usize = 256;
/// The user that is preferred.
const OWN: &str = "nightlatch";

/// As whom the program can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) secret: Secret<String>,
}

/// A manager interface that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manager {
    /// Where it is reached from this host.
    pub(super) server: SocketAddr,
    users: Vec<(User, Reads)>,
}

/// Whether a user gets security events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reads {
    /// As `security`.
    ByName,
    /// As a part of `all`.
    All,
    No,
}

#[derive(Clone, Debug, Default)]
struct Section {
    name: String,
    is_template: bool,
    pairs: Vec<(String, String)>,
}

impl Manager {
    /// Reads the text of `manager.conf`, with what it includes in its place. `None` if the interface is off.
    pub(super) fn read(text: &str) -> Option<Manager> {
        let sections = sections(text);
        let general = sections.iter().find(|section| section.name == "general")?;
        if !general.get("enabled").is_some_and(is_true) {
            return None;
        }
        let port = general.get("port").and_then(|port| port.parse().ok()).unwrap_or(PORT);
        let server = server(general.get("bindaddr").unwrap_or_default(), port)?;
        let users = sections.iter().filter(|it| it.name != "general" && !it.is_template);
        let users = users.filter_map(|section| {
            let secret = section.get("secret").filter(|secret| !secret.is_empty())?;
            let name = section.name.clone();
            Some((User { name, secret: Secret::new(secret.to_owned()) }, section.reads()))
        });
        Some(Manager { server, users: users.collect() })
    }

    /// The user of this name; without a name, one who gets security events: preferably the one who is called
    /// as this program, or is there for just that.
    pub(super) fn user(&self, name: Option<&str>) -> Option<&User> {
        if let Some(name) = name {
            return self.users.iter().map(|(user, _)| user).find(|user| user.name == name);
        }
        let able = self.users.iter().filter(|(_, reads)| *reads != Reads::No);
        let best = able.min_by_key(|(user, reads)| (user.name != OWN, *reads));
        best.map(|(user, _)| user)
    }
}

impl Section {
    /// The value of a key, where it stands last.
    fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        found.next_back().map(|(_, value)| value.as_str())
    }

    fn reads(&self) -> Reads {
        let classes = self.get("read").unwrap_or_default();
        let has = |class: &str| classes.split(',').any(|it| it.trim() == class);
        match (has("security"), has("all")) {
            (true, _) => Reads::ByName,
            (false, true) => Reads::All,
            (false, false) => Reads::No,
        }
    }
}

/// Where an interface that listens there is reached from this host: only by loopback, if nobody says otherwise.
fn server(bound: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(place) = bound.parse::<SocketAddr>() {
        return server(&place.ip().to_string(), place.port());
    }
    let bound = if bound.is_empty() { "0.0.0.0" } else { bound };
    let address = match bound.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    (address.is_loopback() && port != 0).then_some(SocketAddr::new(address, port))
}

fn is_true(value: &str) -> bool {
    ["yes", "true", "y", "t", "1", "on"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// The sections of a configuration of Asterisk, with what they take from templates.
fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut current = None;
    let mut in_comment = false;
    for line in text.lines() {
        let start = line.trim_start();
        if in_comment || (start.starts_with(";--") && !start.starts_with(";---")) {
            in_comment = !line.contains("--;");
            continue;
        }
        let line = uncommented(line);
        let line = line.trim();
        if let Some(rest) = line.strip_prefix('[') {
            current = begun(&mut sections, rest);
        } else if let Some((key, value)) = line.split_once('=')
            && let Some(section) = current.and_then(|at: usize| sections.get_mut(at))
        {
            let value = value.strip_prefix('>').unwrap_or(value).trim();
            section.pairs.push((key.trim().to_owned(), value.to_owned()));
        }
    }
    sections
}

/// Begins the section of a heading, `name]` or `name](!,template)`, and gives its place.
fn begun(sections: &mut Vec<Section>, heading: &str) -> Option<usize> {
    let (name, rest) = heading.split_once(']')?;
    let options = rest.trim().strip_prefix('(').and_then(|it| it.strip_suffix(')'));
    let options: Vec<&str> = options.unwrap_or_default().split(',').map(str::trim).collect();
    let of_name = |name: &str| sections.iter().position(|section| section.name == name);
    if options.contains(&"+") {
        return of_name(name);
    }
    if sections.len() >= MAX_SECTIONS {
        return None;
    }
    let from = options.iter().filter_map(|template| sections.get(of_name(template)?));
    let pairs = from.flat_map(|section| section.pairs.clone()).collect();
    let is_template = options.contains(&"!");
    sections.push(Section { name: name.trim().to_owned(), is_template, pairs });
    Some(sections.len() - 1)
}

/// A line without its comment; `\;` is a semicolon.
fn uncommented(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            ';' if kept.ends_with('\\') => {
                kept.pop();
                kept.push(';');
            }
            ';' => break,
            other => kept.push(other),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, Option<(&str, &str)>)>) {
        let manager = Manager::read(text);
        let user = manager.as_ref().and_then(|it| it.user(None));
        let user = user.map(|it| (it.name.as_str(), it.secret.reveal().as_str()));
        let server = manager.as_ref().map(|it| it.server.to_string());
        let found = server.as_deref().map(|server| (server, user));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn where_it_is() {
        check("", None);
        check("[general]\nport = 5038\n", None);
        check("[general]\nenabled = no\n", None);
        let on = |rest: &str| format!("[general]\nenabled = yes\n{rest}");
        check(&on(""), Some(("127.0.0.1:5038", None)));
        check(&on("port = 5039\nbindaddr = 127.0.0.1\n"), Some(("127.0.0.1:5039", None)));
        check(&on("bindaddr = ::\n"), Some(("[::1]:5038", None)));
        check(&on("bindaddr = 127.0.0.1:5040\n"), Some(("127.0.0.1:5040", None)));
        // Only the administrator sends a login to another host.
        check(&on("bindaddr = 198.51.100.1\n"), None);
        check(&on("enabled = off ; later\n"), None);
    }

    #[test]
    fn who_gets_security_events() {
        let general = "[general]\nenabled=yes\n";
        let check = |rest: &str, expected| {
            check(&format!("{general}{rest}"), Some(("127.0.0.1:5038", expected)));
        };
        check("[a]\nsecret = x\nread = system,call\n", None);
        check("[a]\nread = all\n", None);
        check("[a]\nsecret=x\\;y ; z\nread = system, security\n", Some(("a", "x;y")));
        check("[a]\nsecret=x\nread=all\n[b]\nsecret=y\nread=security\n", Some(("b", "y")));
        let own = "[b]\nsecret=y\nread=security\n[nightlatch]\nsecret => z\nread = all\n";
        check(own, Some(("nightlatch", "z")));
        // The last of two values counts.
        check("[a]\nsecret=x\nread=all\nread=call\n", None);
        let commented = ";--\n[a]\nsecret=x\nread=all\n--;\n[b]\nsecret=y\nread=all\n";
        check(commented, Some(("b", "y")));
    }

    #[test]
    fn templates() {
        let text = "[general]\nenabled=yes\n[listens](!)\nread=security\n\
            [a](listens)\nsecret=x\n[b]\nsecret=y\n[b](+)\nread=call\n";
        check(text, Some(("127.0.0.1:5038", Some(("a", "x")))));
        let manager = Manager::read(text).unwrap();
        assert!(manager.user(Some("listens")).is_none());
        assert_eq!(manager.user(Some("b")).unwrap().secret.reveal(), "y");
    }
}
