//! The features, one line each: add yours at the end of the list.

use std::net::IpAddr;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::feature::{Feature, Put, Reads, Refuses};
use super::plan::{Effects, Fact, Plan};
use super::view::View;
use crate::AddrRange;
use crate::action::{Level, Unlearn};
use crate::api::RefusalKind;
use crate::audit::Occurrence;
use crate::ban::Limits;
use crate::config::{File, Mistake, Rules, Table};
use crate::engine::schedule::{Begun, Task};
use crate::heard::{Heard, Topic};
use crate::knock::Sequences;
use crate::learned::{Element, Key as LearnedKey, SetSpec};
use crate::policy::{Claim, World};
use crate::posture::Posture;
use crate::row::{Row, RowError, Stored};
use crate::signalling::Learned;
use crate::time::Time;
use crate::watched::Watched;

features! {
    firewall: Firewall,
    blocks: Blocks,
    denials: Denials,
    accounts: Accounts,
    peers: Peers,
    feeds: Feeds,
    countries: Countries,
    notices: Notices,
    leases: Leases,
    exemptions: Exemptions,
    users: Users,
    providers: Providers,
    names: Names,
    bans: Bans,
    watch: Watch,
}

impl State {
    /// How the firewall is to stand.
    pub fn posture(&self) -> &Posture {
        self.firewall.posture()
    }

    /// Who may knock, and what that opens.
    pub fn knocks(&self) -> Arc<Sequences> {
        self.users.knocks()
    }

    /// What is limited to sources that attack and are not banned.
    pub fn limits(&self) -> Limits {
        self.bans.limits()
    }

    /// Which packets the program looks at, because they may open an address.
    pub fn watched(&self) -> Arc<Watched> {
        self.users.watched()
    }
}

impl Config {
    /// What the administrator says about the firewall.
    pub fn rules(&self) -> &Rules {
        &self.firewall
    }
}

/// What a feature proposes, whichever it is.
#[derive(Debug)]
pub struct Proposal {
    /// The feature's name.
    pub feature: &'static str,
    /// Which records change, what the audit log calls that, and to what it is done.
    pub changes: Vec<(Change, Option<(Deed, String)>)>,
    /// As in [`Plan`].
    pub occurrences: Vec<Occurrence>,
    /// As in [`Plan`].
    pub at_once: Vec<Event>,
    /// As in [`Plan`].
    pub events: Vec<Event>,
    /// As in [`Plan`].
    pub jobs: Vec<Job>,
    /// As in [`Plan`].
    pub later: Vec<Job>,
    /// As in [`Plan`].
    pub notices: Vec<Notice>,
    /// As in [`Plan`].
    pub said: Vec<Reply>,
    /// As in [`Plan`].
    pub effects: Effects,
}

fn proposals<const N: usize>(all: [Proposal; N]) -> Vec<Proposal> {
    all.into_iter().filter(|proposal| !proposal.is_empty()).collect()
}

impl Proposal {
    /// Whether nothing at all follows.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.occurrences.is_empty()
            && self.at_once.is_empty()
            && self.events.is_empty()
            && self.jobs.is_empty()
            && self.later.is_empty()
            && self.notices.is_empty()
            && self.said.is_empty()
            && self.effects == Effects::default()
    }
}
