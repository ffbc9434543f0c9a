//! The card of a user, as the client side reads it.

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::fields::read_service;
use super::keys::{self, MAX_HMAC_KEY, MAX_KEY};
use super::{Address, Keys, MAX_REQUEST, Service};
use crate::lines::without_byte_order_mark;

/// No card is longer, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// The longest name of a server.
const MAX_SERVER: usize = 253;
const MAX_NAME: usize = 400;

/// What a client needs to write messages.
#[derive(Clone, Debug)]
pub struct Card {
    /// The user, or the name of the stanza; what follows an `@` is not part of it.
    pub user: String,
    /// Where the messages go: a name or an address.
    pub server: String,
    /// To which UDP port. Not 0.
    pub port: u16,
    /// The keys.
    pub keys: Keys,
    /// What the user asks for. At least one.
    pub access: Vec<Service>,
    /// Which address the messages name.
    pub names: Named,
}

/// Which address the messages of a user name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// None: the source of the packet counts. `source`, or nothing is said about it.
    #[default]
    Source,
    /// That with which the client appears to the server. `resolve`
    Own,
    /// This one.
    Given(IpAddr),
}

/// What a card must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardWord {
    /// `USER`, or a line `[name]`.
    User,
    /// `SPA_SERVER` or `HOST`.
    Server,
    /// `SPA_SERVER_PORT`.
    Port,
    /// `ACCESS`.
    Access,
    /// `KEY`, or the same in base64, `KEY_BASE64`.
    Key,
    /// `HMAC_KEY`, or the same in base64, `HMAC_KEY_BASE64`.
    HmacKey,
    /// `ALLOW_IP`. It may be missing.
    Address,
}

/// Why a card cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// It is longer than any card.
    #[error("the file is too long for a card")]
    TooLong,
    /// It is not a text.
    #[error("the file is not UTF-8 text")]
    NotText,
    /// It is a page or a drawing, for people to look at.
    #[error("the file is an HTML page or an image")]
    Markup,
    /// Nothing of a card is in it.
    #[error("the file is not a card")]
    NotACard,
    /// Something is missing.
    #[error("{0} is missing")]
    Missing(CardWord),
    /// A line, counted from 1, says what was said before.
    #[error("line {1}: {0} was given before; a card is for one user of one server")]
    Again(CardWord, usize),
    /// A line, counted from 1, has a malformed value.
    #[error("line {1}: the value of {0} is malformed")]
    Malformed(CardWord, usize),
}

impl Card {
    /// Reads a card as `nightlatch user card` writes it in text, or the stanza of it that is for the
    /// `.fwknoprc` of fwknop: lines of a word and its value, between which there may be anything else.
    /// Unknown words are ignored.
    ///
    /// # Errors
    /// Something is missing, malformed, or there more than once.
    pub fn read(text: &[u8]) -> Result<Card, CardError> {
        if text.len() > MAX_TEXT {
            return Err(CardError::TooLong);
        }
        let text = std::str::from_utf8(without_byte_order_mark(text));
        let text = text.map_err(|_| CardError::NotText)?;
        if text.trim_start().starts_with('<') {
            return Err(CardError::Markup);
        }
        let mut found = Found::default();
        for (index, line) in text.lines().enumerate() {
            found.take(line.trim(), index + 1)?;
        }
        found.card()
    }
}

/// What was read so far.
#[derive(Default)]
struct Found {
    user: Option<String>,
    server: Option<String>,
    port: Option<u16>,
    access: Option<Vec<Service>>,
    key: Option<Zeroizing<Vec<u8>>>,
    hmac_key: Option<Zeroizing<Vec<u8>>>,
    names: Option<Named>,
}

impl Found {
    fn take(&mut self, line: &str, number: usize) -> Result<(), CardError> {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // What fwknop applies to all stanzas.
            if name == "default" {
                return Ok(());
            }
            return put(&mut self.user, CardWord::User, number, user(name));
        }
        let Some((word, rest)) = line.split_once(char::is_whitespace) else {
            return Ok(());
        };
        // As fwknop reads it.
        let word = word.strip_suffix(':').unwrap_or(word);
        let value = rest.trim_start().split([' ', '\t', ';', '#']).next().unwrap_or_default();
        match word {
            "USER" => put(&mut self.user, CardWord::User, number, user(value)),
            "SPA_SERVER" | "HOST" => put(&mut self.server, CardWord::Server, number, server(value)),
            "SPA_SERVER_PORT" => put(&mut self.port, CardWord::Port, number, port(value)),
            "ACCESS" => put(&mut self.access, CardWord::Access, number, access(value)),
            "ALLOW_IP" => put(&mut self.names, CardWord::Address, number, named(value)),
            "KEY" => put(&mut self.key, CardWord::Key, number, plain(value, MAX_KEY)),
            "KEY_BASE64" => {
                put(&mut self.key, CardWord::Key, number, keys::decode(value, MAX_KEY).ok())
            }
            "HMAC_KEY" => {
                put(&mut self.hmac_key, CardWord::HmacKey, number, plain(value, MAX_HMAC_KEY))
            }
            "HMAC_KEY_BASE64" => {
                let key = keys::decode(value, MAX_HMAC_KEY).ok();
                put(&mut self.hmac_key, CardWord::HmacKey, number, key)
            }
            _ => Ok(()),
        }
    }

    fn card(self) -> Result<Card, CardError> {
        let Found { user, server, port, access, key, hmac_key, names } = &self;
        let nothing = user.is_none() && server.is_none() && port.is_none() && access.is_none();
        if nothing && key.is_none() && hmac_key.is_none() && names.is_none() {
            return Err(CardError::NotACard);
        }
        let key = self.key.ok_or(CardError::Missing(CardWord::Key))?;
        let hmac_key = self.hmac_key.ok_or(CardError::Missing(CardWord::HmacKey))?;
        Ok(Card {
            user: self.user.ok_or(CardError::Missing(CardWord::User))?,
            server: self.server.ok_or(CardError::Missing(CardWord::Server))?,
            port: self.port.ok_or(CardError::Missing(CardWord::Port))?,
            // Both were measured when they were read.
            keys: Keys::new(&key, &hmac_key).map_err(|_| CardError::Missing(CardWord::Key))?,
            access: self.access.ok_or(CardError::Missing(CardWord::Access))?,
            names: self.names.unwrap_or_default(),
        })
    }
}

/// Keeps a value that is not there yet.
fn put<T>(
    place: &mut Option<T>,
    word: CardWord,
    number: usize,
    value: Option<T>,
) -> Result<(), CardError> {
    let value = value.ok_or(CardError::Malformed(word, number))?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(CardError::Again(word, number)),
    }
}

/// The name in messages, which has no meaning to the server: shorter than some names of users, and without
/// their letters that are not ASCII.
fn user(name: &str) -> Option<String> {
    let user = name.split('@').next().unwrap_or_default();
    let is_known = |letter: char| {
        if letter.is_ascii() { letter.is_ascii_graphic() } else { letter.is_alphanumeric() }
    };
    let is_name = name.len() <= MAX_NAME && !user.is_empty() && user.chars().all(is_known);
    let letter = |letter: char| if letter.is_ascii() { letter } else { '_' };
    is_name.then(|| user.chars().map(letter).take(super::MAX_USER).collect())
}

fn server(name: &str) -> Option<String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_name = name.bytes().all(is_known) && !name.starts_with('-');
    (is_name && (1..=MAX_SERVER).contains(&name.len())).then(|| name.to_owned())
}

fn named(value: &str) -> Option<Named> {
    match value {
        "source" => Some(Named::Source),
        "resolve" => Some(Named::Own),
        _ => match Address::of(value.parse().ok()?).ok()? {
            Address::Source => Some(Named::Source),
            Address::Given(address) => Some(Named::Given(address)),
        },
    }
}

fn port(value: &str) -> Option<u16> {
    let is_number = value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|port| is_number && *port != 0)
}

fn access(value: &str) -> Option<Vec<Service>> {
    let is_short = value.len() <= MAX_REQUEST;
    is_short.then(|| value.split(',').map(read_service).collect()).flatten()
}

/// A key that is written as it is.
fn plain(value: &str, longest: usize) -> Option<Zeroizing<Vec<u8>>> {
    (1..=longest).contains(&value.len()).then(|| Zeroizing::new(value.as_bytes().to_vec()))
}

impl fmt::Display for CardWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CardWord::User => "USER",
            CardWord::Server => "SPA_SERVER",
            CardWord::Port => "SPA_SERVER_PORT",
            CardWord::Access => "ACCESS",
            CardWord::Key => "KEY",
            CardWord::HmacKey => "HMAC_KEY",
            CardWord::Address => "ALLOW_IP",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Protocol;
    use super::*;

    /// As it is printed, with the text around it.
    const STANZA: &str = "\u{feff}Access of anna to pbx.example.net\r
\r
server    pbx.example.net\r
Keep this card to yourself: whoever has it has your access.\r
\r
  With the program fwknop, add this to the file .fwknoprc in your home folder:\r
      [anna@pbx.example.net]\r
      SPA_SERVER pbx.example.net\r
      SPA_SERVER_PORT 40001\r
      ALLOW_IP source\r
      ACCESS udp/5060,tcp/443\r
      KEY_BASE64 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\r
      USE_HMAC Y\r
      HMAC_KEY_BASE64 QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==\r
  and then, each time: fwknop -n anna@pbx.example.net\r
";
    /// As it is written to a file.
    const DATA: &str = "NIGHTLATCH_CARD: 1
HOST: pbx.example.net
USER: anna
SPA_SERVER_PORT: 40001
ACCESS: udp/5060,tcp/443
KEY_BASE64: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
HMAC_KEY_BASE64: QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==
KNOCK: 7001 7005 7003
USER_AGENT: abcde-fghij
";

    fn shown(text: &str) -> Result<String, String> {
        let card = Card::read(text.as_bytes()).map_err(|error| error.to_string())?;
        let Card { user, server, port, keys: _, access, names: _ } = card;
        let access: Vec<String> = access.iter().map(Service::to_string).collect();
        Ok(format!("{user} {server} {port} {}", access.join(" ")))
    }

    #[test]
    fn both_forms() {
        let expected = Ok("anna pbx.example.net 40001 udp/5060 tcp/443".to_owned());
        assert_eq!(shown(STANZA), expected);
        assert_eq!(shown(DATA), expected);
        let commented = format!("[default]\n# KEY x\n;ACCESS tcp/1\n{DATA}")
            .replace("ACCESS: udp/5060,tcp/443", "ACCESS\tudp/5060,tcp/443;tcp/1 # and");
        assert_eq!(shown(&commented), expected);
    }

    #[test]
    fn its_keys_are_those_of_the_user() {
        let keys: Vec<u8> = (0..128).collect();
        let keys = Keys::new(&keys[..32], &keys[64..]).unwrap();
        for text in [STANZA, DATA] {
            let card = Card::read(text.as_bytes()).unwrap();
            let service = Service { protocol: Protocol::Udp, port: 5060 };
            let message = super::super::Message {
                user: card.user,
                time: 1,
                address: super::super::Address::Source,
                services: vec![service],
                client_timeout: None,
            };
            assert_eq!(message.write(&card.keys, 7), message.write(&keys, 7));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (from, to, expected) in [
            ("USER: anna", "", "USER is missing"),
            ("HOST: pbx.example.net", "", "SPA_SERVER is missing"),
            ("SPA_SERVER_PORT: 40001", "", "SPA_SERVER_PORT is missing"),
            ("ACCESS: udp/5060,tcp/443", "", "ACCESS is missing"),
            ("\nKEY_BASE64", "\nkey", "KEY is missing"),
            ("HMAC_KEY_BASE64", "HMAC", "HMAC_KEY is missing"),
            ("anna", "an\u{7}na", "line 3: the value of USER is malformed"),
            ("anna", "@example.net", "line 3: the value of USER is malformed"),
            ("KNOCK: 7001", "ALLOW_IP: all", "line 8: the value of ALLOW_IP is malformed"),
            (
                "KNOCK: 7001",
                "ALLOW_IP: ::ffff:192.0.2.1",
                "line 8: the value of ALLOW_IP is malformed",
            ),
            ("pbx.example.net", "-pbx", "line 2: the value of SPA_SERVER is malformed"),
            ("pbx.example.net", "$(id)", "line 2: the value of SPA_SERVER is malformed"),
            ("40001", "0", "line 4: the value of SPA_SERVER_PORT is malformed"),
            ("40001", "+1", "line 4: the value of SPA_SERVER_PORT is malformed"),
            ("40001", "65536", "line 4: the value of SPA_SERVER_PORT is malformed"),
            ("udp/5060,", "udp/5060-5070,", "line 5: the value of ACCESS is malformed"),
            ("udp/5060,", ",", "line 5: the value of ACCESS is malformed"),
            ("AAECAw", "AAEC-w", "line 6: the value of KEY is malformed"),
            ("AAECAw", "AAECAwAAECAw", "line 6: the value of KEY is malformed"),
            ("QEFCQ0", "", "line 7: the value of HMAC_KEY is malformed"),
            (
                "USER_AGENT:",
                "USER:",
                "line 9: USER was given before; a card is for one user of one server",
            ),
            (
                "NIGHTLATCH_CARD: 1",
                "KEY x",
                "line 6: KEY was given before; a card is for one user of one server",
            ),
        ] {
            assert!(DATA.contains(from), "{from}");
            assert_eq!(shown(&DATA.replace(from, to)), Err(expected.to_owned()), "{from} {to}");
        }
        assert_eq!(Card::read(b"\xff").unwrap_err(), CardError::NotText);
        assert_eq!(Card::read(&vec![b' '; MAX_TEXT + 1]).unwrap_err(), CardError::TooLong);
        for text in ["", "\n# nothing\n", "my shopping list\nKNOCK: 1 2 3\n"] {
            assert_eq!(Card::read(text.as_bytes()).unwrap_err(), CardError::NotACard, "{text}");
        }
        for text in ["<!DOCTYPE html>\n", "\u{feff} \n<svg xmlns=\"\">"] {
            let page = format!("{text}{DATA}");
            assert_eq!(Card::read(page.as_bytes()).unwrap_err(), CardError::Markup, "{text}");
        }
    }

    #[test]
    fn names_that_do_not_fit_into_messages() {
        for (name, expected) in [
            ("anna", "anna"),
            ("anna@example.net", "anna"),
            ("B\u{fc}ro-2", "B_ro-2"),
            (&"\u{fc}".repeat(64), &"_".repeat(48)),
        ] {
            let card = Card::read(DATA.replace("anna", name).as_bytes()).unwrap();
            assert_eq!(card.user, expected);
        }
    }

    #[test]
    fn the_address_that_messages_name() {
        for (text, expected) in [
            ("", Named::Source),
            ("ALLOW_IP: source", Named::Source),
            ("ALLOW_IP 0.0.0.0", Named::Source),
            ("ALLOW_IP resolve", Named::Own),
            ("ALLOW_IP: 192.0.2.7", Named::Given("192.0.2.7".parse().unwrap())),
            ("ALLOW_IP\t2001:db8::7", Named::Given("2001:db8::7".parse().unwrap())),
        ] {
            let card = Card::read(format!("{DATA}{text}\n").as_bytes()).unwrap();
            assert_eq!(card.names, expected, "{text}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", Card::read(DATA.as_bytes()).unwrap());
        assert!(shown.contains("Keys(..)") && !shown.contains("AAEC"), "{shown}");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            text in proptest::collection::vec(any::<u8>(), 0..300),
            place in 0_usize..400, byte in any::<u8>(),
        ) {
            let _ = Card::read(&text);
            let mut changed = DATA.as_bytes().to_vec();
            let place = place % changed.len();
            changed[place] = byte;
            if let Ok(card) = Card::read(&changed) {
                prop_assert!(card.port != 0 && !card.access.is_empty());
            }
        }
    }
}
