//! The secrets of a user: how they are made, and what is kept of them.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::agent::{NotSecret, secret_text};
use super::user::{Credential, Kind};
use crate::secret::{Draw, Entropy, Secret, base64};
use crate::service::{Catalogue, Opening, Protocol};
use crate::time::Time;

/// How many random bytes choose a sequence of ports: each try takes six. More than half of all tries
/// succeed where the ports of services and users are few.
const KNOCK_BYTES: usize = 6 * 100;
/// How many choose the port of a user's SPA packets: each try takes two.
const SPA_PORT_BYTES: usize = 2 * 64;
/// No smaller port is chosen: scanners know those, and services are given those.
const MIN_PORT: u16 = 1024;
/// How many random bytes make the key that encrypts SPA packets: in base64, 32 characters, which are the
/// longest key that fwknop takes. As text it can also be typed into an app.
const SPA_KEY_BYTES: usize = 24;
/// How many make the key that authenticates them: in base64, 64 characters, one block of SHA-256.
const SPA_HMAC_KEY_BYTES: usize = 48;
/// How many characters a secret user agent has, besides dashes: each has five random bits.
const AGENT_CHARACTERS: usize = 20;
/// The key of the hash of a secret user agent.
const AGENT_KEY_BYTES: usize = 32;

/// The secrets of a user. They are shown by the card alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The TCP ports of the knock sequence, in its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knock: Option<Secret<[u16; 3]>>,
    /// The keys of single packet authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spa: Option<Spa>,
    /// The secret user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
}

/// What a client of fwknop needs, besides the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spa {
    /// The UDP port to which the user's packets go, `SPA_SERVER_PORT`.
    pub port: Secret<u16>,
    /// What encrypts them, as text, `KEY`.
    pub key: Secret<String>,
    /// What authenticates them, as text, `HMAC_KEY`.
    pub hmac_key: Secret<String>,
}

/// A secret user agent. It is kept as it is until the card shows it, and from then on only as a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The key of its hash, the same for all users.
    pub key: Secret<[u8; AGENT_KEY_BYTES]>,
    /// HMAC-SHA256 over its bytes with that key.
    pub hash: Secret<[u8; 32]>,
    /// The user agent, until the card was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Secret<String>>,
}

/// Why no credentials are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// There are no random bytes.
    NoEntropy,
    /// No ports are left that belong to no service and to no other user.
    NoPorts,
    /// A user agent was chosen that is no secret.
    NotSecret(NotSecret),
}

impl Secrets {
    /// Makes new credentials of these kinds, which replace those that are there. A user agent may be chosen;
    /// otherwise it is random.
    ///
    /// # Errors
    /// There are no random bytes, or no ports for them; or the user agent is no secret.
    pub(super) fn renew(
        &mut self,
        kinds: &BTreeSet<Kind>,
        chosen: Option<&Secret<String>>,
        entropy: &Entropy,
        taken: &Taken,
        now: Time,
    ) -> Result<BTreeMap<Kind, Credential>, NotMade> {
        let mut draw = entropy.draw();
        let mut made = BTreeMap::new();
        for kind in kinds {
            let fingerprint = draw.bytes(8).ok_or(NotMade::NoEntropy)?;
            let fingerprint = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
            match kind {
                Kind::Knock => self.knock = Some(knock(&mut draw, taken)?),
                Kind::Spa => self.spa = Some(spa(&mut draw, taken)?),
                Kind::Agent => {
                    self.agent = Some(agent(&mut draw, chosen, &taken.agents)?);
                }
            }
            made.insert(*kind, Credential { fingerprint, since: now });
        }
        Ok(made)
    }

    /// What remains when the card was shown: a user agent only as its hash.
    pub(super) fn shown(&self) -> Secrets {
        let agent = self.agent.clone().map(|agent| Agent { text: None, ..agent });
        Secrets { agent, ..self.clone() }
    }
}

impl Agent {
    /// The hash of a user agent, to look for the secret one.
    pub fn hash_of(&self, text: &[u8]) -> Secret<[u8; 32]> {
        hash(self.key.reveal(), text)
    }

    /// Whether a user agent is the secret one, in constant time.
    pub fn is(&self, text: &[u8]) -> bool {
        mac(self.key.reveal(), text).verify_slice(self.hash.reveal()).is_ok()
    }
}

/// What the credentials of others have: ports and user agents that no other may have. All share the key by
/// whose hashes user agents are recognised: with one key, one hash finds the user.
#[derive(Debug)]
pub(super) struct Taken {
    agents: Vec<Agent>,
    services: Opening,
    tcp: BTreeSet<u16>,
    udp: BTreeSet<u16>,
}

impl Taken {
    /// Those of services, and of these users.
    pub(super) fn of<'a>(
        catalogue: &Catalogue,
        others: impl Iterator<Item = &'a Secrets> + Clone,
    ) -> Taken {
        let knocks = others.clone().filter_map(|secrets| secrets.knock.as_ref());
        let ports = others.filter_map(|secrets| secrets.spa.as_ref());
        Taken {
            agents: Vec::new(),
            services: catalogue.every_port(),
            tcp: knocks.flat_map(|knock| *knock.reveal()).collect(),
            udp: ports.map(|spa| *spa.port.reveal()).collect(),
        }
    }

    /// With the user agents of these users.
    pub(super) fn sharing<'a>(self, others: impl Iterator<Item = &'a Secrets>) -> Taken {
        Taken { agents: others.filter_map(|secrets| secrets.agent.clone()).collect(), ..self }
    }

    fn is_free(&self, protocol: Protocol, port: u16) -> bool {
        let users = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        port >= MIN_PORT && !users.contains(&port) && !self.services.contains(protocol, port)
    }
}

/// Three ports that no scan meets in their order: neither ascending nor descending, none next to another.
fn knock(draw: &mut Draw<'_>, taken: &Taken) -> Result<Secret<[u16; 3]>, NotMade> {
    let mut tries = draw.part(KNOCK_BYTES).ok_or(NotMade::NoEntropy)?;
    while let (Some(a), Some(b), Some(c)) = (tries.number(), tries.number(), tries.number()) {
        let is_apart = [(a, b), (b, c), (a, c)].iter().all(|(one, other)| one.abs_diff(*other) > 1);
        let is_monotonic = (a < b) == (b < c);
        let is_free = |port: &u16| taken.is_free(Protocol::Tcp, *port);
        if is_apart && !is_monotonic && [a, b, c].iter().all(is_free) {
            return Ok(Secret::new([a, b, c]));
        }
    }
    Err(NotMade::NoPorts)
}

fn spa(draw: &mut Draw<'_>, taken: &Taken) -> Result<Spa, NotMade> {
    let key = draw.bytes(SPA_KEY_BYTES).ok_or(NotMade::NoEntropy)?;
    let hmac_key = draw.bytes(SPA_HMAC_KEY_BYTES).ok_or(NotMade::NoEntropy)?;
    let mut tries = draw.part(SPA_PORT_BYTES).ok_or(NotMade::NoEntropy)?;
    let mut ports = std::iter::from_fn(|| tries.number());
    let port = ports.find(|port| taken.is_free(Protocol::Udp, *port)).ok_or(NotMade::NoPorts)?;
    Ok(Spa {
        port: Secret::new(port),
        key: Secret::new(base64(key)),
        hmac_key: Secret::new(base64(hmac_key)),
    })
}

/// A user agent that was chosen, or a random one.
fn agent(
    draw: &mut Draw<'_>,
    chosen: Option<&Secret<String>>,
    others: &[Agent],
) -> Result<Agent, NotMade> {
    let random = random_agent(draw).ok_or(NotMade::NoEntropy)?;
    let own = draw.bytes(AGENT_KEY_BYTES).and_then(|bytes| bytes.try_into().ok());
    let own = Secret::new(own.ok_or(NotMade::NoEntropy)?);
    let text = match chosen {
        Some(chosen) => secret_text(chosen).map_err(NotMade::NotSecret)?,
        None => random,
    };
    if others.iter().any(|other| other.is(text.reveal().as_bytes())) {
        return Err(NotMade::NotSecret(NotSecret::OfAnother));
    }
    let key = others.first().map_or(own, |other| other.key.clone());
    let hash = hash(key.reveal(), text.reveal().as_bytes());
    Ok(Agent { key, hash, text: Some(text) })
}

/// Groups of letters and digits that are not mistaken for each other, e.g. `h7kqm-...`.
fn random_agent(draw: &mut Draw<'_>) -> Option<Secret<String>> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = String::with_capacity(AGENT_CHARACTERS + AGENT_CHARACTERS / 5);
    for (place, byte) in draw.bytes(AGENT_CHARACTERS)?.iter().enumerate() {
        if place > 0 && place % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(*LETTERS.get(usize::from(byte & 31))?));
    }
    Some(Secret::new(text))
}

fn hash(key: &[u8; AGENT_KEY_BYTES], text: &[u8]) -> Secret<[u8; 32]> {
    Secret::new(mac(key, text).finalize().into_bytes().into())
}

fn mac(key: &[u8; AGENT_KEY_BYTES], text: &[u8]) -> Hmac<Sha256> {
    // HMAC fills a key that is shorter than a block with zeros.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::Product;

    const NOW: Time = Time::from_millis(0);

    fn all() -> BTreeSet<Kind> {
        Kind::ALL.into()
    }

    fn nobody() -> Taken {
        Taken::of(&Catalogue::default(), std::iter::empty())
    }

    proptest! {
        #[test]
        fn credentials_are_as_they_must_be(bytes in proptest::collection::vec(any::<u8>(), 1024)) {
            let catalogue = Product::FreePbx.catalogue();
            let entropy = Entropy::new(bytes);
            // Another user, made of the same bytes: the ports differ all the same.
            let mut other = Secrets::default();
            other.renew(&all(), None, &entropy, &nobody(), NOW).unwrap();
            let taken = Taken::of(&catalogue, [&other].into_iter());
            let mut secrets = Secrets::default();
            let made = secrets.renew(&all(), None, &entropy, &taken, NOW).unwrap();
            prop_assert_eq!(made.keys().copied().collect::<BTreeSet<_>>(), all());
            let [a, b, c] = *secrets.knock.as_ref().unwrap().reveal();
            prop_assert!((a < b) != (b < c), "{} {} {}", a, b, c);
            for (one, another) in [(a, b), (b, c), (a, c)] {
                prop_assert!(one.abs_diff(another) > 1);
            }
            for port in [a, b, c] {
                prop_assert!(!other.knock.as_ref().unwrap().reveal().contains(&port));
                prop_assert!(port >= 1024 && !catalogue.every_port().contains(Protocol::Tcp, port));
            }
            let Spa { port, key, hmac_key } = secrets.spa.as_ref().unwrap();
            prop_assert!(!catalogue.every_port().contains(Protocol::Udp, *port.reveal()));
            prop_assert_eq!((key.reveal().len(), hmac_key.reveal().len()), (32, 64));
            let agent = secrets.agent.as_ref().unwrap();
            let text = agent.text.as_ref().unwrap().reveal();
            prop_assert_eq!(text.len(), 23);
            prop_assert_eq!(&agent.hash_of(text.as_bytes()), &agent.hash);
            prop_assert!(agent.hash_of(b"another") != agent.hash);
            let shown = secrets.shown();
            prop_assert_eq!(&shown.agent.as_ref().unwrap().text, &None);
            prop_assert_eq!((&shown.knock, &shown.spa), (&secrets.knock, &secrets.spa));
        }
    }

    #[test]
    fn without_random_bytes_nothing_is_made() {
        for length in [0, 7, 8, 100, 600] {
            let entropy = Entropy::new((0..=255).cycle().take(length).collect());
            let made = Secrets::default().renew(&all(), None, &entropy, &nobody(), NOW);
            assert_eq!(made, Err(NotMade::NoEntropy), "{length}");
        }
    }

    #[test]
    fn where_all_ports_are_taken_none_is_made() {
        let entropy = Entropy::new((0..=255).cycle().take(Entropy::LENGTH).collect());
        let mut taken = nobody();
        taken.tcp.extend(0..=u16::MAX);
        let made = Secrets::default().renew(&all(), None, &entropy, &taken, NOW);
        assert_eq!(made, Err(NotMade::NoPorts));
    }

    /// Test case 2 of RFC 4231, whose key is shorter: zeros behind it change nothing.
    #[test]
    fn the_hash_is_hmac_sha256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let found = hash(&key, b"what do ya want for nothing?");
        let hex: String = found.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
