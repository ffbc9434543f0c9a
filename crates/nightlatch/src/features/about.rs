//! What `why` says of an address, as the features add to it.

use std::net::IpAddr;

use nightlatch_core::AddrRange;
use nightlatch_core::time::Time;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::fields::Fields;

/// What `why` says: fields of its JSON, lines of the screen, and what stands behind a verdict. Fields and
/// lines stand in the order of their numbers; lines of one number in the order in which they were added.
#[derive(Debug)]
pub struct About {
    address: IpAddr,
    now: Time,
    pub(crate) fields: Fields,
    pub(crate) lines: Vec<(u8, String)>,
    pub(crate) claims: Vec<(Claim, String)>,
    /// The lists that hold the address, in JSON.
    pub(crate) lists: Vec<Box<RawValue>>,
    /// Why no attack from the address leads to a ban.
    pub(crate) sparing: Option<Sparing>,
}

/// Why no attack from an address leads to a ban.
#[derive(Clone, Debug, Serialize)]
pub struct Sparing {
    /// The reason in one word, for scripts.
    pub because: &'static str,
    /// Whether the attacked service is limited instead.
    pub limited: bool,
    /// The reason in words.
    pub words: String,
}

/// What a feature claims for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is allowed, by what bears this name.
    Allow(String),
    /// It is allowed, but only some services.
    AllowOnly,
    /// This range is blocked.
    Block(AddrRange),
    /// This range is banned.
    Ban(AddrRange),
    /// This range is denied services.
    Deny(AddrRange),
    /// A list holds it.
    List,
}

impl About {
    pub(crate) fn new(address: IpAddr, now: Time) -> About {
        About {
            address,
            now,
            fields: Fields::default(),
            lines: Vec::new(),
            claims: Vec::new(),
            lists: Vec::new(),
            sparing: None,
        }
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The moment of the judgement.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds a field to the JSON.
    pub fn field(&mut self, number: u8, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.fields.set(number, name, value);
    }

    /// Adds a field to the JSON if there is something in it.
    pub fn field_unless_empty<T: Serialize>(
        &mut self,
        number: u8,
        name: &'static str,
        value: &[T],
    ) {
        if !value.is_empty() {
            self.field(number, name, value);
        }
    }

    /// Adds a line to the screen: ten characters for its name, then what it says.
    pub fn line(&mut self, number: u8, line: String) {
        self.lines.push((number, line));
    }

    /// Adds a claim, in words: they follow the verdict if the claim decides.
    pub fn because(&mut self, claim: Claim, words: String) {
        self.claims.push((claim, words));
    }

    /// Adds a list that holds the address, with an object for the JSON.
    pub fn list(&mut self, value: &impl Serialize, words: String) {
        // It is plain data, which can always be written.
        self.lists.extend(to_raw_value(value));
        self.because(Claim::List, words);
    }

    /// Says that no attack from the address leads to a ban, with a field of the JSON.
    pub fn never_banned(&mut self, number: u8, sparing: Sparing) {
        self.field(number, "never_banned", &sparing);
        self.sparing = Some(sparing);
    }

    /// What was said of a claim.
    pub(crate) fn told(&self, claim: &Claim) -> String {
        let told = self.claims.iter().filter(|(other, _)| other == claim);
        told.map(|(_, words)| words.as_str()).collect::<Vec<&str>>().join("; ")
    }
}
