//! Whose packet one is: the keys of all users, and what they have handed over lately.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use nightlatch_core::features::users::{
    Agent, Event, Keys, Message, Proved, Registers, Spa, Unusable, UserName,
};
use nightlatch_core::secret::Secret;
use nightlatch_core::service::{Ports, Protocol};
use nightlatch_core::time::Time;
use nightlatch_parse::{sip, spa};

use crate::shell::clock::Stopwatch;

/// How many genuine packets of a user are handed over at once, and how many in a second on average:
/// whoever sees packets on their way can repeat them without end, and no other user is to wait for that.
const MAX_AT_ONCE: f64 = 10.0;
const MAX_A_SECOND: f64 = 2.0;
/// How long, and how many, packets of a user are remembered: the same from the same source is handed over
/// once within that time. The engine remembers all.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// The same for phones, whose requests differ in nothing that is compared: they repeat them after half a
/// second, a second, two, as long as no answer comes.
const PHONE_REMEMBERED_FOR: Duration = Duration::from_secs(1);
const MAX_REMEMBERED: usize = 16;

/// The keys of all users. Whether a packet is genuine takes one authentication code for SPA, because each
/// user has a port, and one hash for a user agent, because all hashes have one key.
#[derive(Default)]
pub(super) struct Keyring {
    holders: BTreeMap<UserName, Holder>,
    ports: HashMap<u16, UserName>,
    /// For each key of hashes the users, by the first bytes of their hash.
    agents: BTreeMap<[u8; 32], BTreeMap<[u8; 8], UserName>>,
}

struct Holder {
    spa: Option<(String, u16, spa::Keys)>,
    agent: Option<(String, Agent)>,
    lately: Lately,
}

impl Keyring {
    /// These keys of a user count from now on, and no others.
    pub(super) fn know(&mut self, keys: Keys) {
        let lately = self.forget(&keys.user);
        let user = keys.user;
        let spa = keys.spa.and_then(|(fingerprint, Spa { port, key, hmac_key })| {
            let keys =
                spa::Keys::new(key.reveal().as_bytes(), hmac_key.reveal().as_bytes()).ok()?;
            Some((fingerprint, *port.reveal(), keys))
        });
        if let Some((_, port, _)) = &spa {
            self.ports.insert(*port, user.clone());
        }
        if let Some((_, agent)) = &keys.agent {
            let of_key = self.agents.entry(*agent.key.reveal()).or_default();
            of_key.insert(beginning(agent.hash.reveal()), user.clone());
        }
        let lately = lately.unwrap_or_default();
        self.holders.insert(user, Holder { spa, agent: keys.agent, lately });
    }

    /// No keys of a user count any more. Returns what was handed over.
    pub(super) fn forget(&mut self, user: &UserName) -> Option<Lately> {
        let holder = self.holders.remove(user)?;
        self.ports.retain(|_, other| other != user);
        self.agents.values_mut().for_each(|of_key| of_key.retain(|_, other| other != user));
        self.agents.retain(|_, of_key| !of_key.is_empty());
        Some(holder.lately)
    }

    /// What follows from the payload of a packet to a port. Nothing if it is not genuine: whoever sent it
    /// is nobody.
    pub(super) fn spa(&mut self, source: IpAddr, port: u16, payload: &[u8]) -> Option<Event> {
        let user = self.ports.get(&port)?;
        let holder = self.holders.get_mut(user)?;
        let (fingerprint, _, keys) = holder.spa.as_ref()?;
        let authentic = spa::authenticate(payload, keys).ok()?;
        let code = authentic.replay_key();
        if !holder.lately.is_new(code, source, REMEMBERED_FOR) {
            return None;
        }
        Some(Event::Proved(Box::new(Proved {
            user: user.clone(),
            fingerprint: fingerprint.clone(),
            source,
            code: Secret::new(code),
            message: authentic.open().map(said).map_err(unusable),
        })))
    }

    /// What follows from a request to register.
    pub(super) fn agent(&mut self, source: IpAddr, payload: &[u8], is_cut: bool) -> Option<Event> {
        let message = sip::read(payload, is_cut).ok()?;
        if message.method() != Some(b"REGISTER") {
            return None;
        }
        let text = message.user_agent().and_then(|header| sip::agent::secret(header.raw))?;
        let user = self.agents.values().find_map(|of_key| {
            // One hash for all users of a key: the first bytes find the user, all of them decide.
            let any = self.holders.get(of_key.values().next()?)?.agent.as_ref()?;
            let hash = any.1.hash_of(&text);
            let user = of_key.get(&beginning(hash.reveal()))?;
            let agent = &self.holders.get(user)?.agent.as_ref()?.1;
            agent.is(&text).then(|| (user.clone(), *hash.reveal()))
        });
        let (user, hash) = user?;
        let holder = self.holders.get_mut(&user)?;
        let (fingerprint, _) = holder.agent.clone()?;
        holder
            .lately
            .is_new(hash, source, PHONE_REMEMBERED_FOR)
            .then_some(Event::Registers(Registers { user, fingerprint, source }))
    }
}

fn beginning(hash: &[u8; 32]) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
}

fn said(message: spa::Message) -> Message {
    let ports = message.services.iter().map(|service| {
        let protocol = match service.protocol {
            spa::Protocol::Tcp => Protocol::Tcp,
            spa::Protocol::Udp => Protocol::Udp,
        };
        Ports::new(protocol, service.port, service.port)
    });
    let millis = i64::try_from(message.time).unwrap_or(i64::MAX).saturating_mul(1000);
    Message {
        at: Time::from_millis(millis),
        address: match message.address {
            spa::Address::Source => None,
            spa::Address::Given(address) => Some(address),
        },
        ports: ports.collect(),
        lasts: message.client_timeout.map(|seconds| Duration::from_secs(seconds.into())),
    }
}

fn unusable(why: spa::Refused) -> Unusable {
    use spa::Refused;

    match why {
        Refused::Decryption => Unusable::Encryption,
        Refused::Command => Unusable::Type(0),
        Refused::Nat => Unusable::Type(2),
        Refused::NatTimeout => Unusable::Type(4),
        Refused::LocalNat => Unusable::Type(5),
        Refused::LocalNatTimeout => Unusable::Type(6),
        Refused::UnknownType(Some(number)) => Unusable::Type(number),
        _ => Unusable::Malformed,
    }
}

/// What was handed over of a user lately.
pub(super) struct Lately {
    left: f64,
    at: Stopwatch,
    codes: VecDeque<([u8; 32], IpAddr, Stopwatch)>,
}

impl Default for Lately {
    fn default() -> Lately {
        Lately { left: MAX_AT_ONCE, at: Stopwatch::start(), codes: VecDeque::new() }
    }
}

impl Lately {
    /// Whether a genuine packet is to be handed over; then it is noted.
    fn is_new(&mut self, code: [u8; 32], source: IpAddr, remembered: Duration) -> bool {
        let is_same = |(other, from, at): &([u8; 32], IpAddr, Stopwatch)| {
            *other == code && *from == source && at.elapsed() < remembered
        };
        if self.codes.iter().any(is_same) {
            return false;
        }
        let earned = self.at.elapsed().as_secs_f64() * MAX_A_SECOND;
        self.at = Stopwatch::start();
        self.left = (self.left + earned).min(MAX_AT_ONCE);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        if self.codes.len() >= MAX_REMEMBERED {
            self.codes.pop_front();
        }
        self.codes.push_back((code, source, Stopwatch::start()));
        true
    }
}
