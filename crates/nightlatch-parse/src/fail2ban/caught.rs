//! What the groups of an expression caught: who, and how it ended.

use std::net::IpAddr;
use std::ops::Range;

use super::pattern::{Pattern, Places};

/// The longest text that is kept of a group, in bytes.
const MAX_TEXT: usize = 256;

/// What a group stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Ip4,
    Ip6,
    Name,
    Id,
    User,
    NoFailure,
    Session,
    Forget,
    Gained,
}

const ROLES: usize = 9;

const NAMES: [(&str, Role); ROLES] = [
    ("ip4", Role::Ip4),
    ("ip6", Role::Ip6),
    ("dns", Role::Name),
    ("fid", Role::Id),
    ("user", Role::User),
    ("nofail", Role::NoFailure),
    ("mlfid", Role::Session),
    ("mlfforget", Role::Forget),
    ("mlfgained", Role::Gained),
];

/// The groups of an expression that matter.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    groups: Vec<(usize, Role)>,
    /// Groups whose text counts where the proper one is empty.
    alternatives: Vec<(usize, Role)>,
}

impl Roles {
    pub(super) fn of(pattern: &Pattern) -> Self {
        let mut groups = Vec::new();
        let mut alternatives = Vec::new();
        for (name, group) in pattern.groups() {
            if let Some(role) = role_of(name) {
                groups.push((group, role));
            } else if let Some(role) =
                name.strip_prefix("alt_").and_then(|name| role_of(without_number(name)))
            {
                alternatives.push((group, role));
            }
        }
        Self { groups, alternatives }
    }

    /// Whether it can name a source, or a session that may know one.
    pub(super) fn can_name_source(&self) -> bool {
        let names =
            |role| matches!(role, Role::Ip4 | Role::Ip6 | Role::Name | Role::Id | Role::Session);
        self.groups.iter().chain(&self.alternatives).any(|(_, role)| names(*role))
    }

    /// The groups of that role.
    pub(super) fn groups(&self, wanted: &[Role]) -> Vec<usize> {
        let all = self.groups.iter().chain(&self.alternatives);
        all.filter(|(_, role)| wanted.contains(role)).map(|(group, _)| *group).collect()
    }
}

fn role_of(name: &str) -> Option<Role> {
    let name = match name {
        "id" => "fid",
        other => other,
    };
    NAMES.iter().find(|(other, _)| *other == name).map(|(_, role)| *role)
}

/// `user_2` is another `user`.
fn without_number(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((start, number))
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            start
        }
        _ => name,
    }
}

/// What was caught, by role.
#[derive(Clone, Debug, Default)]
pub(super) struct Caught {
    texts: [Option<Vec<u8>>; ROLES],
    /// The address is a part of a longer word, such as of a host name: not an address.
    pub(super) within_word: bool,
}

impl Caught {
    /// Takes the groups of a match, over what was caught before.
    pub(super) fn add(&mut self, text: &[u8], places: &Places, roles: &Roles) {
        for (group, role) in &roles.groups {
            let Some(range) = places.range(*group) else { continue };
            if matches!(role, Role::Ip4 | Role::Ip6) {
                self.within_word = is_within_word(text, &range);
            }
            self.set(*role, text.get(range).unwrap_or_default());
        }
        for (group, role) in &roles.alternatives {
            let Some(range) = places.range(*group) else { continue };
            if self.text(*role).is_none_or(<[u8]>::is_empty) {
                self.set(*role, text.get(range).unwrap_or_default());
            }
        }
    }

    fn set(&mut self, role: Role, text: &[u8]) {
        // A session is compared as a whole; other texts are only shown.
        let kept = if role == Role::Session { text } else { text.get(..MAX_TEXT).unwrap_or(text) };
        if let Some(place) = self.texts.get_mut(role as usize) {
            *place = Some(kept.to_vec());
        }
    }

    pub(super) fn text(&self, role: Role) -> Option<&[u8]> {
        self.texts.get(role as usize).and_then(Option::as_deref)
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.text(role).is_some_and(|text| !text.is_empty())
    }

    pub(super) fn take(&mut self, role: Role) -> Option<Vec<u8>> {
        self.texts.get_mut(role as usize).and_then(Option::take).filter(|text| !text.is_empty())
    }

    /// Takes over what another line of the same session caught.
    pub(super) fn update(&mut self, newer: Self) {
        let has_address = newer.text(Role::Ip4).or(newer.text(Role::Ip6)).is_some();
        if has_address {
            self.within_word = newer.within_word;
        }
        for (mine, theirs) in self.texts.iter_mut().zip(newer.texts) {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
    }

    /// A gain counts as no failure.
    pub(super) fn gain(&mut self) {
        if !self.has(Role::NoFailure) {
            let gained = self.text(Role::Gained).unwrap_or_default().to_vec();
            self.set(Role::NoFailure, &gained);
        }
    }

    /// The text that names the source: address, host name or any other name.
    pub(super) fn source(&self) -> Option<&[u8]> {
        [Role::Ip4, Role::Ip6, Role::Name, Role::Id].into_iter().find_map(|role| self.text(role))
    }

    /// The source, if it is an address and nothing else.
    pub(super) fn address(&self) -> Option<IpAddr> {
        if self.within_word {
            return None;
        }
        parse_address(self.source()?)
    }
}

/// Reads an address; an IPv4 address written as IPv6 is an IPv4 address.
pub(super) fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether a word or host name goes on before or after an address.
fn is_within_word(text: &[u8], range: &Range<usize>) -> bool {
    let byte = |at: Option<usize>| at.and_then(|at| text.get(at)).copied();
    let joins =
        |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let before = byte(range.start.checked_sub(1));
    let after = byte(Some(range.end));
    let goes_on = match after {
        Some(b'.') => {
            // A number alone is a port: no name ends in one.
            let rest = text.get(range.end + 1..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let joins = |at: usize| joins(rest.get(at).copied());
            let named = |byte: Option<&u8>| matches!(byte, Some(b'.' | b'-')) && joins(digits + 1);
            joins(digits) || (digits > 0 && named(rest.get(digits)))
        }
        Some(b'-') => byte(range.end.checked_add(1)).is_some_and(|byte| byte.is_ascii_alphabetic()),
        _ => false,
    };
    let came_before = before == Some(b'.') && joins(byte(range.start.checked_sub(2)));
    joins(before) || joins(after) || goes_on || came_before
}

/// An address that stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) address: IpAddr,
    pub(super) range: Range<usize>,
    /// The range of the address of which this is a part, e.g. `2001:db8::1` of `2001:db8::1:5060`.
    of: Option<Range<usize>>,
}

impl Standing {
    /// Whether it is the text in that range, or a part of the same address.
    pub(super) fn is_part_of(&self, range: &Range<usize>) -> bool {
        let meets = |mine: &Range<usize>| mine.start < range.end && range.start < mine.end;
        meets(&self.range) || self.of.as_ref().is_some_and(meets)
    }
}

/// The addresses that stand in a text and are wanted, with their places. At most `max`.
pub(super) fn addresses(
    text: &[u8],
    max: usize,
    wanted: impl Fn(&Standing) -> bool,
) -> Vec<Standing> {
    let mut found = Vec::new();
    let mut at = 0;
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    while let Some(start) =
        text.get(at..).and_then(|rest| rest.iter().position(is_part)).map(|skip| at + skip)
    {
        let rest = text.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        if end - start <= 64 {
            in_run(text, start..end, &mut found);
        } else {
            // Longer than any address: look at its pieces between colons only.
            in_pieces(text, start..end, None, &mut found);
        }
        found.retain(&wanted);
        if found.len() >= max {
            found.truncate(max);
            break;
        }
        at = end;
    }
    found
}

fn in_run(text: &[u8], run: Range<usize>, found: &mut Vec<Standing>) {
    let (mut colons, mut dots) = (0, 0);
    for byte in text.get(run.clone()).unwrap_or_default() {
        colons += usize::from(*byte == b':');
        dots += usize::from(*byte == b'.');
    }
    if colons < 2 {
        if dots >= 3 {
            in_pieces(text, run, None, found);
        }
        return;
    }
    let mut end = run.end;
    while end > run.start && text.get(end - 1).is_some_and(|byte| matches!(byte, b'.' | b':')) {
        end -= 1;
    }
    // With and without a port.
    let whole = text.get(run.start..end).unwrap_or_default();
    let colon = whole.iter().rposition(|byte| *byte == b':');
    let mut of = None;
    for end in [Some(end), colon.map(|at| run.start + at)].into_iter().flatten() {
        let range = run.start..end;
        if let Some(address @ IpAddr::V6(_)) = parse_raw(text.get(range.clone())) {
            found.push(Standing {
                address: address.to_canonical(),
                range: range.clone(),
                of: of.clone(),
            });
            of = of.or(Some(range));
        }
    }
    in_pieces(text, run, of.as_ref(), found);
}

fn in_pieces(text: &[u8], run: Range<usize>, of: Option<&Range<usize>>, found: &mut Vec<Standing>) {
    let mut start = run.start;
    for piece in text.get(run).unwrap_or_default().split(|byte| *byte == b':') {
        let end = start + piece.len();
        let dots = piece.iter().rev().take_while(|byte| **byte == b'.').count();
        let range = start..end - dots;
        if let Some(address @ IpAddr::V4(_)) = parse_raw(text.get(range.clone())) {
            found.push(Standing { address, range, of: of.cloned() });
        }
        start = end + 1;
    }
}

fn parse_raw(text: Option<&[u8]>) -> Option<IpAddr> {
    std::str::from_utf8(text?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{addresses, is_within_word};

    #[test]
    fn addresses_are_found_with_their_places() {
        let found = |text: &str| {
            let all = addresses(text.as_bytes(), 9, |_| true);
            all.into_iter()
                .map(|one| (text[one.range].to_owned(), one.address.to_string()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found("'192.0.2.1:5060' and 198.51.100.2."),
            [
                ("192.0.2.1".to_owned(), "192.0.2.1".to_owned()),
                ("198.51.100.2".to_owned(), "198.51.100.2".to_owned())
            ]
        );
        assert_eq!(found("from 2001:db8::1 now")[0].0, "2001:db8::1");
        assert_eq!(
            found("[::ffff:192.0.2.1]")[0],
            ("::ffff:192.0.2.1".to_owned(), "192.0.2.1".to_owned())
        );
        assert!(found("12:34:56 1.2.3").is_empty());
    }

    #[test]
    fn a_part_of_a_name_is_no_address() {
        let within = |text: &str| {
            let start = text.find("192.0.2.1").unwrap();
            is_within_word(text.as_bytes(), &(start..start + 9))
        };
        for text in [
            "192.0.2.1.example.net",
            "192.0.2.10",
            "x192.0.2.1",
            "1192.0.2.1",
            "a.192.0.2.1",
            "192.0.2.1-pool",
            "192.0.2.1.7.example",
        ] {
            assert!(within(text), "{text}");
        }
        for text in
            ["192.0.2.1", "'192.0.2.1:5060'", "192.0.2.1.", "192.0.2.1.5060 ", "=192.0.2.1-5060;"]
        {
            assert!(!within(text), "{text}");
        }
    }
}
