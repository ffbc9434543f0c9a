//! What is asked about exemptions, what is refused, what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Deed, Exemption, ExemptionName, Exemptions};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::entry::{Entry, EntryId, HostName, apart, host_names, without_addresses};
use crate::features::{Fact, Plan, Refuses, View};
use crate::near::nearest;
use crate::ranges::{is_everybody, is_nobody_else, is_wide};

/// The most entries of an exemption.
pub const MAX_ENTRIES: usize = 65_536;
/// How many entries a refusal shows.
const SHOWN_ENTRIES: usize = 20;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Exempt addresses, under a name that exists or a new one.
    Add {
        /// The name.
        name: ExemptionName,
        /// The addresses.
        entries: Vec<Entry>,
    },
    /// End an exemption.
    Remove {
        /// Its name.
        name: ExemptionName,
        /// Only of these entries; all of it without any.
        entries: Vec<Entry>,
    },
    /// All exemptions.
    List,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Addresses are exempt.
    Added {
        /// Under this name.
        name: ExemptionName,
        /// The addresses.
        entries: Vec<Entry>,
        /// What was asked for and was exempt under that name already.
        there: Vec<Entry>,
    },
    /// Addresses are no longer exempt under a name.
    Removed {
        /// The name.
        name: ExemptionName,
        /// The addresses.
        entries: Vec<Entry>,
        /// How many are left under that name.
        left: usize,
    },
    /// An exempt address is blocked, and stays so.
    StaysBlocked {
        /// What is blocked.
        range: AddrRange,
    },
    /// These exemptions, by name.
    All(Vec<Exemption>),
    /// How many there are.
    Report {
        /// How many.
        count: usize,
    },
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no exemption of that name.
    Unknown {
        /// The name.
        name: ExemptionName,
        /// The one that was probably meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        near: Option<ExemptionName>,
    },
    /// It names no address.
    NoAddress {
        /// The name.
        name: ExemptionName,
    },
    /// The exemption does not have these entries.
    NotIn {
        /// Its name.
        name: ExemptionName,
        /// The entries.
        missing: Vec<Entry>,
        /// The first entries that it has.
        has: Vec<Entry>,
        /// How many it has in all.
        count: usize,
    },
    /// It would have more entries than an exemption may have.
    TooMany {
        /// Its name.
        name: ExemptionName,
        /// The most.
        most: usize,
    },
    /// Nobody comes in from there.
    NobodyElse {
        /// The range.
        range: AddrRange,
    },
    /// Many would be exempt; it needs force.
    Wide {
        /// The range.
        range: AddrRange,
    },
    /// Nearly everybody would be exempt.
    Everybody {
        /// The range.
        range: AddrRange,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Unknown { .. } | Refusal::NotIn { .. } | Refusal::Wide { .. } => {
                RefusalKind::No
            }
            _ => RefusalKind::Wrong,
        }
    }
}

impl Exemptions {
    fn known(&self, name: &ExemptionName) -> Result<&Exemption, Refusal> {
        self.all.get(name).ok_or_else(|| {
            let near = nearest(name.as_str(), self.all.keys().map(ExemptionName::as_str));
            let near = near.and_then(|near| near.parse().ok());
            Refusal::Unknown { name: name.clone(), near }
        })
    }

    pub(super) fn add(
        &self,
        name: ExemptionName,
        entries: Vec<Entry>,
        view: &View<'_>,
    ) -> Result<Plan<Exemptions>, Refusal> {
        if entries.is_empty() {
            return Err(Refusal::NoAddress { name });
        }
        check(&entries, view)?;
        let before = self.all.get(&name);
        let had = before.map_or(&[][..], |exemption| &exemption.exempt);
        let (new, there) = apart(without_addresses(entries), had);
        if had.len().saturating_add(new.len()) > MAX_ENTRIES {
            return Err(Refusal::TooMany { name, most: MAX_ENTRIES });
        }
        let reply = Reply::Added { name: name.clone(), entries: new.clone(), there };
        let mut plan = Plan::say(reply);
        if new.is_empty() {
            return Ok(plan);
        }
        plan.said.extend(blocked(&new, view).map(|range| Reply::StaysBlocked { range }));
        let mut exemption = before.cloned().unwrap_or_else(|| Exemption {
            name: name.clone(),
            exempt: Vec::new(),
            since: view.now(),
            by: view.caller().to_string(),
        });
        exemption.exempt.extend(new);
        tell_names(&mut plan, &name, had, &exemption.exempt);
        plan.put(name, exemption, Deed::Exempt);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Running flows go on: lists count for new ones.
    pub(super) fn remove(
        &self,
        name: &ExemptionName,
        entries: Vec<Entry>,
    ) -> Result<Plan<Exemptions>, Refusal> {
        let before = self.known(name)?;
        let (missing, named) = apart(entries, &before.exempt);
        if !missing.is_empty() {
            let has = before.exempt.iter().take(SHOWN_ENTRIES).cloned().collect();
            let count = before.exempt.len();
            return Err(Refusal::NotIn { name: name.clone(), missing, has, count });
        }
        let ids: BTreeSet<EntryId<'_>> = named.iter().map(Entry::id).collect();
        let is_gone = |entry: &Entry| ids.is_empty() || ids.contains(&entry.id());
        let (gone, left): (Vec<Entry>, Vec<Entry>) =
            before.exempt.iter().cloned().partition(is_gone);
        let reply = Reply::Removed { name: name.clone(), entries: gone, left: left.len() };
        let mut plan = Plan::say(reply);
        tell_names(&mut plan, name, &before.exempt, &left);
        if left.is_empty() {
            plan.remove(name.clone(), Deed::Unexempt);
        } else {
            let exemption = Exemption { exempt: left, ..before.clone() };
            plan.put(name.clone(), exemption, Deed::Unexempt);
        }
        plan.effects.waits_for_up = true;
        Ok(plan)
    }
}

/// Which blocked ranges entries reach into: a block wins.
fn blocked(entries: &[Entry], view: &View<'_>) -> impl Iterator<Item = AddrRange> + use<> {
    let claims = entries.iter().flat_map(Entry::ranges).flat_map(|range| view.claims(range));
    let blocks = claims.filter(|claim| matches!(claim.says, crate::policy::Says::Block));
    let ranges: BTreeSet<AddrRange> = blocks.map(|claim| claim.over).collect();
    ranges.into_iter()
}

fn check(entries: &[Entry], view: &View<'_>) -> Result<(), Refusal> {
    let ranges = || entries.iter().flat_map(Entry::ranges);
    if let Some(range) = ranges().find(is_nobody_else) {
        return Err(Refusal::NobodyElse { range });
    }
    if let Some(range) = ranges().find(is_everybody) {
        return Err(Refusal::Everybody { range });
    }
    match ranges().find(is_wide) {
        Some(range) if !view.force() => Err(Refusal::Wide { range }),
        _ => Ok(()),
    }
}

/// Says which host names an exemption has from now on, if it had others before.
pub(super) fn tell_names(
    plan: &mut Plan<Exemptions>,
    name: &ExemptionName,
    had: &[Entry],
    has: &[Entry],
) {
    let names: BTreeMap<HostName, Vec<IpAddr>> = host_names(has);
    if host_names(had) != names {
        let of = format!("exemptions/{name}");
        plan.effects.facts.push(Fact::HostNames { of, names, private: false });
    }
}
