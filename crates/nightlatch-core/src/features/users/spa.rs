//! Single packet authorization (SPA): what an authenticated message does.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::replay::{MAX_AGE, Replays};
use super::{Event, Key, Kind, Notice, Record, User, UserName, Users};
use crate::AddrRange;
use crate::features::{Fact, Plan, UserOpens, View};
use crate::policy::Says;
use crate::ranges::is_nobody_else;
use crate::secret::Secret;
use crate::service::{Catalogue, Grant, Ports};
use crate::time::Time;

/// How long after a notice of a kind about a user there is no further one: whoever sees a packet on its way
/// can repeat it as often as he likes.
const QUIET: Duration = Duration::from_secs(600);

/// An SPA packet whose authentication code was made with the key of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The user.
    pub user: UserName,
    /// What the keys are known by.
    pub fingerprint: String,
    /// From where the packet came.
    pub source: IpAddr,
    /// The authentication code: a message that has the same was used already.
    pub code: Secret<[u8; 32]>,
    /// What it says, or why that cannot be read.
    pub message: Result<Message, Unusable>,
}

/// What an SPA packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When it was made, by the client's clock.
    pub at: Time,
    /// For which address; that of the packet where absent.
    pub address: Option<IpAddr>,
    /// The ports that are to be opened.
    pub ports: Vec<Ports>,
    /// For how long at most; as long as the user may where absent. [`CLOSES`] closes what is open.
    pub lasts: Option<Duration>,
}

/// Who asks for a second asks for an end: nothing can be done within it.
pub const CLOSES: Duration = Duration::from_secs(1);

/// Why a message cannot be used, although its authentication code is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// It is not encrypted with the user's key.
    Encryption,
    /// It is malformed.
    Malformed,
    /// It is of a type that is not supported: fwknop's number of it.
    Type(u8),
}

/// Why a request of a user is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The user, or the credential, is gone.
    Gone,
    /// The message cannot be used.
    Unusable(Unusable),
    /// The client's clock differs too much from that of this server.
    Clock {
        /// By how many seconds it is ahead; negative if it is behind.
        ahead: i64,
    },
    /// The message was used before.
    Replayed,
    /// It is older than others of the user that were used.
    Outdated {
        /// The time in the latest message.
        latest: Time,
    },
    /// There were too many messages of the user.
    TooMany,
    /// It is for another address than the one from which it came.
    OtherAddress {
        /// For which.
        address: IpAddr,
    },
    /// It names no address, and the user has to.
    NoAddress,
    /// Nobody comes from there, or it is an address of this machine.
    NotAPeer {
        /// The address.
        address: IpAddr,
    },
    /// The address is blocked.
    Blocked {
        /// The address.
        address: IpAddr,
    },
    /// The hours have not begun or are over, and a phone tries it again and again.
    OutsideHours,
    /// The user may not use the telephone services, for which a phone registers.
    NoSip,
    /// The user may have none of what is asked.
    NothingGranted {
        /// The ports that are asked for.
        asked: Vec<Ports>,
    },
}

impl Why {
    /// Its kind, of which there is one notice in a while.
    pub fn kind(&self) -> &'static str {
        match self {
            Why::Gone => "gone",
            Why::Unusable(_) => "unusable",
            Why::Clock { .. } => "clock",
            Why::Replayed => "replayed",
            Why::Outdated { .. } => "outdated",
            Why::TooMany => "too-many",
            Why::OtherAddress { .. } => "other-address",
            Why::NoAddress => "no-address",
            Why::NotAPeer { .. } => "not-a-peer",
            Why::Blocked { .. } => "blocked",
            Why::OutsideHours => "outside-hours",
            Why::NoSip => "no-sip",
            Why::NothingGranted { .. } => "nothing-granted",
        }
    }
}

impl Users {
    /// An authenticated message has come. What it opens, and that it was used, is one change.
    pub(super) fn proved(&self, proved: &Proved, view: &View<'_>) -> Plan<Users> {
        match self.answer(proved, view) {
            Ok(plan) => plan,
            Err(why) => self.refuse(&proved.user, Kind::Spa, proved.source, why, view),
        }
    }

    fn answer(&self, proved: &Proved, view: &View<'_>) -> Result<Plan<Users>, Why> {
        let user = self.holder(&proved.user, Kind::Spa, &proved.fingerprint)?;
        let message = proved.message.as_ref().map_err(|why| Why::Unusable(*why))?;
        let ahead = message.at.millis().saturating_sub(view.now().millis());
        if Duration::from_millis(ahead.unsigned_abs()) > MAX_AGE {
            return Err(Why::Clock { ahead: ahead / 1000 });
        }
        let before = self.replays.get(&user.name);
        let replays =
            before.unwrap_or(&Replays::default()).with(message.at, proved.code.reveal())?;
        let source = proved.source.to_canonical();
        let address = match message.address.map(|address| address.to_canonical()) {
            None if user.require_address => return Err(Why::NoAddress),
            None => source,
            Some(address) if address != source && !user.any_address => {
                return Err(Why::OtherAddress { address });
            }
            Some(address) => address,
        };
        let mut plan = match message.lasts {
            Some(lasts) if lasts <= CLOSES => closing(user, address),
            lasts => {
                let services = granted(&user.services, &message.ports, view.catalogue());
                let asked = || message.ports.clone();
                let services = services.ok_or_else(|| Why::NothingGranted { asked: asked() })?;
                let opening = Opening { credential: Kind::Spa, address, services, lasts };
                self.opening(user, opening, view)?
            }
        };
        plan.put(Key::Replays(user.name.clone()), Record::Replays(replays), None);
        Ok(plan)
    }

    /// The user with a credential, if it is still the one that was used.
    pub(super) fn holder(
        &self,
        name: &UserName,
        kind: Kind,
        fingerprint: &str,
    ) -> Result<&User, Why> {
        let user = self.all.get(name).ok_or(Why::Gone)?;
        let credential = user.credentials.get(&kind);
        let is_same = credential.is_some_and(|it| it.fingerprint == fingerprint);
        if is_same { Ok(user) } else { Err(Why::Gone) }
    }

    /// A credential opens an address.
    pub(super) fn opening(
        &self,
        user: &User,
        opening: Opening,
        view: &View<'_>,
    ) -> Result<Plan<Users>, Why> {
        let Opening { credential, address, services, lasts } = opening;
        let range = AddrRange::from(address);
        if is_nobody_else(&range) || view.posture().site.is_own(address) {
            return Err(Why::NotAPeer { address });
        }
        if view.claims(range).iter().any(|claim| matches!(claim.says, Says::Block)) {
            return Err(Why::Blocked { address });
        }
        // The idle limit stays, also where it is longer: the kernel has the chain for it.
        let (idle, longest) = self.limits(user);
        let longest = lasts.map_or(longest, |lasts| longest.min(lasts));
        let opens = UserOpens {
            user: user.name.to_string(),
            credential: credential.to_string(),
            address,
            services,
            idle,
            longest: Some(longest),
            permanent: false,
            hours: user.hours.clone(),
        };
        let mut plan = Plan::default();
        plan.effects.facts.push(Fact::UserOpens(opens));
        plan.events.push(Event::Accepted(credential));
        Ok(plan)
    }

    /// Counts a refusal, and tells of it once in a while.
    pub(super) fn refuse(
        &self,
        user: &UserName,
        credential: Kind,
        source: IpAddr,
        why: Why,
        view: &View<'_>,
    ) -> Plan<Users> {
        let mut plan = Plan::default();
        // Who is gone is nobody whose clients an administrator would repair.
        let tells = self.all.contains_key(user) && self.may_tell(user, why.kind(), view.now());
        let kind = why.kind();
        plan.at_once.push(Event::Refused { credential, user: user.clone(), kind, told: tells });
        if tells {
            let user = user.clone();
            plan.notices.push(Notice::Refused { user, credential, source, why });
        }
        plan
    }

    fn may_tell(&self, user: &UserName, kind: &'static str, now: Time) -> bool {
        let told = self.told.get(&(user.clone(), kind));
        // The clock may have been set back.
        told.is_none_or(|told| *told > now || now.since(*told) >= QUIET)
    }
}

/// What a credential opens.
pub(super) struct Opening {
    pub(super) credential: Kind,
    pub(super) address: IpAddr,
    pub(super) services: Grant,
    /// For how long at most, if the client says so.
    pub(super) lasts: Option<Duration>,
}

fn closing(user: &User, address: IpAddr) -> Plan<Users> {
    let mut plan = Plan::default();
    plan.effects.facts.push(Fact::UserCloses { user: user.name.to_string(), address });
    plan
}

/// Which of a user's services are meant by ports that a client asks for: those of which it names a port,
/// and those that have none. `None` if it names none.
fn granted(services: &Grant, asked: &[Ports], catalogue: &Catalogue) -> Option<Grant> {
    let Grant::Some(names) = services else { return None };
    let is_asked = |ports: &Ports| {
        let same = asked.iter().filter(|asked| asked.protocol == ports.protocol);
        same.into_iter().any(|asked| asked.first <= ports.last && ports.first <= asked.last)
    };
    let openings = names.iter().map(|name| (name, catalogue.opening([name]).ports));
    let openings: Vec<_> = openings.collect();
    let named = openings.iter().any(|(_, ports)| ports.iter().any(is_asked));
    let granted =
        openings.iter().filter(|(_, ports)| ports.is_empty() || ports.iter().any(is_asked));
    named.then(|| Grant::of(granted.map(|(name, _)| (*name).clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Product;

    #[test]
    fn what_is_asked_is_reduced_to_what_the_user_may_have() {
        let catalogue = Product::FreePbx.catalogue();
        let services = Grant::parse("sip,web").unwrap();
        for (asked, expected) in [
            ("udp/5060", Some("sip")),
            ("tcp/443", Some("web")),
            ("tcp/443,udp/5060", Some("sip,web")),
            ("tcp/22,tcp/443", Some("web")),
            ("tcp/22", None),
            ("udp/443", None),
            ("tcp/1-65535", Some("sip,web")),
        ] {
            let ports: Vec<Ports> = asked.split(',').map(|text| text.parse().unwrap()).collect();
            let expected = expected.map(|text| Grant::parse(text).unwrap());
            assert_eq!(granted(&services, &ports, &catalogue), expected, "{asked}");
        }
        assert_eq!(granted(&services, &[], &catalogue), None);
    }
}
