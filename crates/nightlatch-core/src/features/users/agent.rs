//! Secret user agents of SIP phones.

use std::net::IpAddr;

use nightlatch_parse::sip::agent::{MAX_SECRET, known_user_agent};
use serde::{Deserialize, Serialize};

use super::spa::Opening;
use super::{Kind, UserName, Users, Why};
use crate::features::{Plan, View};
use crate::secret::Secret;
use crate::service::{Grant, Role, ServiceName};

/// The least characters of a secret user agent.
const MIN_CHARACTERS: usize = 12;

/// Why a user agent that was chosen is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSecret {
    /// It is too short or too long, in characters.
    Length {
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// It has other characters than those that are printed in ASCII: no header has them as they are.
    Characters,
    /// It begins like that of phones or scanners.
    Known {
        /// How that begins.
        begins: String,
    },
    /// Another user has it.
    OfAnother,
}

/// A user agent that was chosen, as a phone sends it.
///
/// # Errors
/// It is no secret.
pub(super) fn secret_text(chosen: &Secret<String>) -> Result<Secret<String>, NotSecret> {
    let text = chosen.reveal().trim();
    if !(MIN_CHARACTERS..=MAX_SECRET).contains(&text.len()) {
        return Err(NotSecret::Length { least: MIN_CHARACTERS, most: MAX_SECRET });
    }
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(NotSecret::Characters);
    }
    match known_user_agent(text) {
        Some(begins) => Err(NotSecret::Known { begins: begins.to_owned() }),
        None => Ok(Secret::new(text.to_owned())),
    }
}

/// A REGISTER whose user agent is the secret one of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The user.
    pub user: UserName,
    /// What the credential is known by.
    pub fingerprint: String,
    /// From where it came.
    pub source: IpAddr,
}

impl Users {
    /// A phone registers with a secret user agent: it gets all services of its user, and its next try gets
    /// through.
    pub(super) fn registers(&self, registers: &Registers, view: &View<'_>) -> Plan<Users> {
        let Registers { user, fingerprint, source } = registers;
        let holder = self.holder(user, Kind::Agent, fingerprint);
        let opened = holder.and_then(|user| {
            if user.hours.as_ref().is_some_and(|hours| !hours.contain(view.now())) {
                return Err(Why::OutsideHours);
            }
            let services = user.services.clone();
            if !view.catalogue().any_brought(names(&services), |it| it.role == Role::Sip) {
                return Err(Why::NoSip);
            }
            let address = source.to_canonical();
            let opening = Opening { credential: Kind::Agent, address, services, lasts: None };
            self.opening(user, opening, view)
        });
        opened.unwrap_or_else(|why| self.refuse(user, Kind::Agent, *source, why, view))
    }
}

fn names(services: &Grant) -> impl Iterator<Item = &ServiceName> {
    let names = match services {
        Grant::Some(names) => Some(names),
        Grant::All => None,
    };
    names.into_iter().flat_map(|names| names.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_phones_and_scanners_send_is_no_secret() {
        let of = |text: &str| secret_text(&Secret::new(text.to_owned()));
        assert_eq!(of(" Kitchen phone 7 \n").unwrap().reveal(), "Kitchen phone 7");
        for text in ["", "short", "elevenchars", &"x".repeat(129)] {
            assert!(matches!(of(text), Err(NotSecret::Length { .. })), "{text}");
        }
        for text in
            ["kitchen\rphone 7", "kitchen\nphone 7", "K\u{fc}chentelefon 7", "kitchen\tphone"]
        {
            assert_eq!(of(text), Err(NotSecret::Characters), "{text}");
        }
        for (text, begins) in
            [("friendly-scanner", "friendly-scanner"), ("yealink SIP-T46S 66.85", "Yealink")]
        {
            let begins = begins.to_owned();
            assert_eq!(of(text), Err(NotSecret::Known { begins }), "{text}");
        }
    }
}
