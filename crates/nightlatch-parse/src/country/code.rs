//! Codes and names of countries, as people and tables write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::names::{ALIASES, COUNTRIES, OTHERS};
use crate::tally::printable;

/// How many near names a message offers.
const MAX_NEAR: usize = 5;
/// No name is longer; what is longer is not compared.
const MAX_NAME_LEN: usize = 60;

/// A country by its ISO 3166-1 code of two letters, such as `DE`.
///
/// Any two letters are taken, because tables hold codes that ISO does not (`EU`, `AP`, `XK`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// The code of two letters, upper or lower case. `UK` and `EL`, which some tables use for
    /// `GB` and `GR`, become those. `None` for anything but two letters.
    pub const fn new(letters: [u8; 2]) -> Option<CountryCode> {
        let [first, second] = letters;
        if !first.is_ascii_alphabetic() || !second.is_ascii_alphabetic() {
            return None;
        }
        Some(CountryCode(match [first.to_ascii_uppercase(), second.to_ascii_uppercase()] {
            [b'U', b'K'] => *b"GB",
            [b'E', b'L'] => *b"GR",
            upper => upper,
        }))
    }

    /// The code of a table's cell: `None` for what is no code, and for `ZZ`, "unknown".
    pub(crate) fn of_table(cell: &[u8]) -> Option<CountryCode> {
        let code = CountryCode::new(cell.trim_ascii().try_into().ok()?)?;
        (code.0 != *b"ZZ").then_some(code)
    }

    /// The two letters, upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CountryCode> for String {
    fn from(code: CountryCode) -> String {
        code.as_str().to_owned()
    }
}

impl TryFrom<String> for CountryCode {
    type Error = NoSuch;

    fn try_from(text: String) -> Result<CountryCode, NoSuch> {
        text.parse()
    }
}

impl FromStr for CountryCode {
    type Err = NoSuch;

    /// The same as [`find`].
    fn from_str(text: &str) -> Result<CountryCode, NoSuch> {
        find(text)
    }
}

/// A name that is no country's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown country \"{text}\"{}", hint(.near))]
pub struct NoSuch {
    /// The name as written, shortened.
    pub text: String,
    /// The nearest names, the nearest first; at most 5.
    pub near: Vec<&'static str>,
}

fn hint(near: &[&'static str]) -> String {
    match near {
        [] => "; use an ISO code, e.g. DE, or the English name".to_owned(),
        [only] => format!("; did you mean {only}?"),
        [most @ .., last] => format!("; did you mean {} or {last}?", most.join(", ")),
    }
}

/// The country of a code of two or three letters or of a name, upper or lower case, with or
/// without accents: `de`, `DEU`, `Germany`, `Deutschland`, `uk`, `cote d'ivoire`.
///
/// # Errors
/// [`NoSuch`] with the nearest names.
pub fn find(text: &str) -> Result<CountryCode, NoSuch> {
    let wanted = folded(text);
    let exact = names().find(|(_, name)| folded(name) == wanted);
    if let Some((code, _)) = exact {
        return Ok(code);
    }
    Err(NoSuch { text: printable(text.as_bytes()), near: near(&wanted) })
}

/// The English name of a country; `None` for letters that are no code.
pub fn name(code: CountryCode) -> Option<&'static str> {
    let is = |letters: &str| letters == code.as_str();
    let country = COUNTRIES.iter().find(|(two, _, _)| is(two));
    country.map(|(_, _, name)| *name).or_else(|| {
        let other = OTHERS.iter().find(|(two, _)| is(two));
        other.map(|(_, name)| *name)
    })
}

/// Every country with its name, sorted by code.
pub fn all() -> impl Iterator<Item = (CountryCode, &'static str)> {
    COUNTRIES.iter().filter_map(|(two, _, name)| Some((code(two)?, *name)))
}

/// Every name and code that [`find`] takes.
fn names() -> impl Iterator<Item = (CountryCode, &'static str)> {
    let countries = COUNTRIES
        .iter()
        .flat_map(|(two, three, name)| [(*two, *two), (*two, *three), (*two, *name)]);
    let others = OTHERS.iter().map(|(two, _)| (*two, *two));
    countries.chain(ALIASES).chain(others).filter_map(|(two, name)| Some((code(two)?, name)))
}

fn code(two: &str) -> Option<CountryCode> {
    CountryCode::new(two.as_bytes().try_into().ok()?)
}

/// Lower case without accents and signs, at most [`MAX_NAME_LEN`] letters; "and" is left out, so
/// that `Bosnia & Herzegovina` is found.
fn folded(text: &str) -> String {
    let letters: String = text
        .chars()
        .take(MAX_NAME_LEN + 1)
        .flat_map(char::to_lowercase)
        .filter_map(|letter| {
            Some(match letter {
                'à'..='å' | 'ā' => 'a',
                'ç' => 'c',
                'è'..='ë' => 'e',
                'ì'..='ï' | 'ı' => 'i',
                'ñ' => 'n',
                'ò'..='ö' => 'o',
                'ù'..='ü' => 'u',
                '\'' | '’' | '.' => return None,
                letter if letter.is_alphanumeric() => letter,
                _ => ' ',
            })
        })
        .filter(|letter| letter.is_alphanumeric() || *letter == ' ')
        .collect();
    let words = || letters.split(' ').filter(|word| !word.is_empty());
    // "AND" alone is the code of Andorra.
    let alone = words().count() == 1;
    let words: Vec<&str> = words()
        .map(|word| if word == "st" { "saint" } else { word })
        .filter(|word| alone || !matches!(*word, "and" | "the"))
        .collect();
    words.join(" ")
}

/// The names with the fewest mistakes between them and `wanted`, and those it begins.
fn near(wanted: &str) -> Vec<&'static str> {
    let length = wanted.chars().count();
    if !(2..=MAX_NAME_LEN).contains(&length) {
        return Vec::new();
    }
    let most = (length / 2).clamp(1, 4);
    let mut found: Vec<(usize, CountryCode)> = names()
        .filter(|(_, name)| name.len() > 3)
        .filter_map(|(code, name)| {
            let candidate = folded(name);
            let longer = candidate.chars().count().abs_diff(length);
            let begins = length > 2 && candidate.split(' ').any(|word| word.starts_with(wanted));
            // Each letter too many is a mistake: most names need no closer look.
            let distance = if longer > most { longer } else { mistakes(wanted, &candidate) };
            // A name that is begun right comes behind one with a single mistake.
            let distance = if begins { distance.min(2) } else { distance };
            (distance <= most).then_some((distance, code))
        })
        .collect();
    found.sort_unstable();
    let mut near: Vec<&'static str> = Vec::new();
    for (_, code) in found {
        let name = name(code).unwrap_or_default();
        if !near.contains(&name) && near.len() < MAX_NEAR {
            near.push(name);
        }
    }
    near
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn mistakes(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    let mut letter_before = None;
    for (down, letter) in one.chars().enumerate() {
        let mut next = vec![down + 1];
        for (across, candidate) in other.iter().enumerate() {
            let at =
                |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
            let changed = at(&row, across) + usize::from(letter != *candidate);
            let mut best = changed.min(at(&row, across + 1) + 1).min(at(&next, across) + 1);
            if across > 0
                && letter_before == Some(*candidate)
                && other.get(across - 1) == Some(&letter)
            {
                best = best.min(at(&above, across - 1) + 1);
            }
            next.push(best);
        }
        letter_before = Some(letter);
        above = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(find(text).unwrap().as_str(), expected, "{text}");
    }

    #[test]
    fn names_and_codes() {
        check("DE", "DE");
        check("de", "DE");
        check("AND", "AD");
        check("deu", "DE");
        check("Germany", "DE");
        check("uk", "GB");
        check("USA", "US");
        check("u.s.", "US");
        check("russia", "RU");
        check("Russian Federation", "RU");
        check("south korea", "KR");
        check("korea (south)", "KR");
        check("XK", "XK");
        check("kosovo", "XK");
        check("cote d'ivoire", "CI");
        check("CÔTE D’IVOIRE", "CI");
        check("Bosnia & Herzegovina", "BA");
        check("st lucia", "LC");
        check("turkiye", "TR");
        check("Turkey", "TR");
        check("the netherlands", "NL");
        check("EU", "EU");
        check("sao tome and principe", "ST");
    }

    #[test]
    fn typos_are_answered_with_the_near_ones() {
        for (text, nearest) in [
            ("Chna", "China"),
            ("Germny", "Germany"),
            ("Rusia", "Russia"),
            ("Nehterlands", "Netherlands"),
            ("Untied States", "United States"),
            ("Ukrain", "Ukraine"),
            ("Phillipines", "Philippines"),
        ] {
            let error = find(text).unwrap_err();
            assert_eq!(error.near.first(), Some(&nearest), "{error}");
        }
        let near = find("Chna").unwrap_err().near;
        assert!(near.contains(&"Chad") && near.contains(&"Ghana"), "{near:?}");
        let error = find("Kore").unwrap_err();
        assert!(error.near.contains(&"South Korea"), "{error}");
        assert_eq!(
            find("\x1b[2J").unwrap_err().to_string(),
            "unknown country \"?[2J\"; use an ISO code, e.g. DE, or the English name"
        );
        assert_eq!(find("").unwrap_err().near, Vec::<&str>::new());
    }

    #[test]
    fn the_table_is_sound() {
        assert!(COUNTRIES.is_sorted());
        assert_eq!(all().count(), COUNTRIES.len());
        let mut seen = std::collections::BTreeMap::new();
        for (code, name) in names() {
            let name = folded(name);
            assert_eq!(seen.insert(name.clone(), code).unwrap_or(code), code, "{name}");
        }
        assert_eq!(CountryCode::of_table(b"ZZ"), None);
        assert_eq!(CountryCode::of_table(b"??"), None);
        assert_eq!(CountryCode::of_table(b"*"), None);
        assert_eq!(CountryCode::of_table(b"uk").unwrap().as_str(), "GB");
    }

    #[test]
    fn mistakes_are_counted() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "axc", 1),
            ("abc", "ab", 1),
            ("chna", "china", 1),
            ("chna", "chad", 2),
            ("", "abc", 3),
        ] {
            assert_eq!(mistakes(one, other), expected, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_found_or_refused(text in "\\PC{0,90}") {
            let _ = find(&text).map_err(|error| error.to_string());
        }
    }
}
