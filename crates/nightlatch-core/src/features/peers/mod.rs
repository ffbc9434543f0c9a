//! Peers: whom this host called, or where it registered; and what the PBX reports about them.

mod key;
mod learning;
mod pbx;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use key::{NoKey, SignallingClosed};

use super::view::is_closed_to;
use super::{Change, Fact, Feature, Plan, Put, Reads, Refuses, View};
use crate::AddrRange;
use crate::action::Unlearn;
use crate::api::{KnownPeer, MAX_LISTED, RefusalKind};
use crate::audit::Occurrence;
use crate::engine::schedule::Begun;
use crate::learned::{Element, Lasting, SetSpec};
use crate::pbx::PbxPeers;
use crate::policy::World;
use crate::service::Catalogue;
use crate::signalling::{self, Learned, Peer};
use crate::time::Time;
use pbx::Pbx;

/// What is kept about peers besides the kernel's sets.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// When signalling was last closed to strangers: peers that were called or asked before are
    /// forgotten, also after a crash in the middle of closing.
    pub signalling_closed: Option<Time>,
    /// What the PBX last reported.
    pbx: Pbx,
}

/// The rest follows from what the PBX reports.
impl PartialEq for Peers {
    fn eq(&self, other: &Peers) -> bool {
        self.signalling_closed == other.signalling_closed
    }
}

nothing!(Notice);

/// The only work: asking the PBX.
const ASKING: &str = "pbx";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Forget the peers at an address.
    Forget {
        /// The address.
        address: IpAddr,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The peers at an address are forgotten.
    Forgotten {
        /// The address.
        address: IpAddr,
    },
    /// A server can no longer open connections: the PBX reports no registration there.
    NoLongerConnects {
        /// Its address.
        address: IpAddr,
    },
    /// The peers at an address.
    Known(Vec<KnownPeer>),
    /// The known peers, and what became of asking the PBX.
    Report {
        /// The first [`MAX_LISTED`]: registrations, then calls, then the rest.
        first: Vec<KnownPeer>,
        /// How many there are in all.
        count: usize,
        /// When the PBX last answered.
        pbx_answered: Option<Time>,
        /// Whether it runs here but does not answer.
        pbx_is_silent: bool,
    },
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No peer is known at the address.
    NotKnown {
        /// The address.
        address: IpAddr,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        RefusalKind::No
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The PBX has answered [`Job::Ask`], or not.
    Told(PbxPeers),
    /// The same, to be noted, and whether its fixed contacts were learned from it.
    Noted(PbxPeers, bool),
    /// Its fixed contacts are to be learned from its next answer.
    FixedContactsForgotten,
}

/// What is done in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Ask the PBX for its registrations and contacts.
    Ask(Arc<Catalogue>),
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Somebody made this host forget a peer.
    Forget,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Forget => "forget",
        })
    }
}

impl Feature for Peers {
    const NAME: &'static str = "peers";
    const SETS: &'static [&'static SetSpec] = &signalling::SETS;

    type Key = SignallingClosed;
    type Config = ();
    type Record = Time;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &SignallingClosed, body: &str) -> serde_json::Result<Time> {
        serde_json::from_str(body)
    }

    fn put(&mut self, _key: &SignallingClosed, record: Option<Time>) -> Option<Time> {
        std::mem::replace(&mut self.signalling_closed, record)
    }

    fn each(&self, found: &mut dyn FnMut(&SignallingClosed, &Time)) {
        if let Some(at) = &self.signalling_closed {
            found(&SignallingClosed, at);
        }
    }

    fn reads(_request: &Request) -> Reads {
        Reads::Learned
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Peers>, Refusal> {
        let Request::Forget { address } = request;
        let address = address.to_canonical();
        let known = known(view.learned(), address, view.now());
        if known.is_empty() {
            return Err(Refusal::NotKnown { address });
        }
        let mut plan = Plan::say(Reply::Forgotten { address });
        plan.occurrences.push(Occurrence::new(Deed::Forget, address, &known, &()));
        plan.effects.unlearn.push(Unlearn::Within(vec![AddrRange::from(address)]));
        Ok(plan)
    }

    fn happened(&self, event: Event, view: &View<'_>) -> Plan<Peers> {
        match event {
            Event::Told(pbx) => self.told(pbx, view),
            Event::Noted(..) | Event::FixedContactsForgotten => Plan::default(),
        }
    }

    fn note(&mut self, event: &Event, now: Time) {
        match event {
            Event::Told(_) => {}
            Event::Noted(pbx, relearned) => self.pbx.note(pbx, *relearned, now),
            Event::FixedContactsForgotten => self.pbx.relearn_fixed = true,
        }
    }

    fn follow(&self, fact: &Fact, view: &View<'_>) -> Plan<Peers> {
        match fact {
            Fact::Unblocked(_) => Peers::asks_the_pbx(),
            Fact::PutUp { pbx, .. } => {
                let mut plan = Peers::asks_the_pbx();
                plan.effects.teach = lasting(pbx.initial_peers(view.catalogue()));
                plan
            }
            Fact::SignallingCloses => self.close_signalling(view),
            _ => Plan::default(),
        }
    }

    fn started(&self, view: &View<'_>) -> Plan<Peers> {
        if !view.posture().stands() {
            return Plan::default();
        }
        let mut plan = Peers::asks_the_pbx();
        self.forget_from_before_closing(&mut plan, view);
        plan
    }

    fn tasks(&self, view: &View<'_>, found: &mut dyn FnMut(&dyn fmt::Display, Option<Time>)) {
        if view.posture().stands() {
            found(&ASKING, self.pbx.next_question(view.pbx_needed()));
        }
    }

    fn begin(&self, _task: &str, _begun: &Begun, view: &View<'_>) -> Plan<Peers> {
        Plan::work(Job::Ask(Arc::new(view.catalogue().clone())))
    }

    fn unlearning(&mut self, unlearn: &Unlearn, learned: &Learned, now: Time) {
        self.pbx.unlearning(unlearn, learned, now);
    }

    fn remembers(&self, element: &Element, world: &World<'_>) -> bool {
        let peer = Peer::of(element.set, &element.key);
        let is_closed = is_closed_to(world, element.key.address);
        !is_closed && !peer.is_some_and(|it| self.is_from_before_closing(&it, element.until, world))
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        Some(Reply::Report {
            first: shown(view.learned(), view.now()),
            count: view.learned().at(view.now()).count(),
            pbx_answered: self.pbx.answered,
            pbx_is_silent: self.pbx.silent,
        })
    }

    fn about(&self, address: IpAddr, view: &View<'_>) -> Option<Reply> {
        Some(Reply::Known(known(view.learned(), address, view.now())))
    }
}

/// Peers as elements of their sets.
fn lasting(peers: Vec<(Peer, Duration)>) -> Vec<Lasting> {
    peers.into_iter().map(|(peer, left)| peer.lasting(left)).collect()
}

/// The known peers at an address.
fn known(learned: &Learned, address: IpAddr, now: Time) -> Vec<KnownPeer> {
    learned.of(address, now).map(|(peer, until)| known_peer(peer, until)).collect()
}

/// A peer as shown in an answer.
fn known_peer(peer: Peer, until: Time) -> KnownPeer {
    KnownPeer { peer, seen: Learned::seen(peer.by, until), until }
}

/// The known peers of an answer: the host's registrations come first, so that no crowd of others
/// hides a trunk.
fn shown(learned: &Learned, now: Time) -> Vec<KnownPeer> {
    use crate::signalling::LearnedBy;

    const ORDER: [LearnedBy; 4] =
        [LearnedBy::Registered, LearnedBy::RegisteredByTcp, LearnedBy::Called, LearnedBy::Asked];
    let of = |by| learned.at(now).filter(move |(peer, _)| peer.by == by);
    let peers = ORDER.into_iter().flat_map(of).take(MAX_LISTED);
    peers.map(|(peer, until)| known_peer(peer, until)).collect()
}

/// Sets when signalling was last closed to strangers.
pub fn set_signalling_closed(at: Option<Time>) -> Change {
    Put::<Peers> { key: SignallingClosed, record: at }.into()
}
