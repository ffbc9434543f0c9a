//! What is asked about blocks, what is refused, what follows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Block, Blocks, Deed};
use crate::AddrRange;
use crate::action::Unlearn;
use crate::api::RefusalKind;
use crate::features::{Fact, Plan, Refuses, View};
use crate::ranges::{UNTOUCHABLE, Untouchable, is_everybody};
use crate::time::{Time, is_over};

/// The longest reason.
const MAX_REASON_LEN: usize = 1000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Set a block.
    Set(NewBlock),
    /// Remove a block.
    Remove {
        /// Exactly its range.
        range: AddrRange,
    },
    /// All blocks.
    List,
}

/// A block to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewBlock {
    /// Whom it shuts out.
    pub range: AddrRange,
    /// How long it holds; for ever where absent.
    pub lasts: Option<Duration>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The range is blocked.
    Blocked(Block),
    /// The range is no longer blocked.
    Unblocked {
        /// The range.
        range: AddrRange,
    },
    /// A range that was allowed just now is blocked and stays shut out.
    StaysBlocked {
        /// The range of the block.
        range: AddrRange,
    },
    /// A block shuts out what this server needs.
    ShutsOut {
        /// What it needs.
        guarded: AddrRange,
        /// What that is.
        what: String,
        /// The range of the block.
        range: AddrRange,
    },
    /// These blocks, by range; about an address the most specific first.
    All(Vec<Block>),
    /// How many there are, and which end soon.
    Report {
        /// How many.
        count: usize,
        /// Those that end soon.
        ending: Vec<(AddrRange, Time)>,
    },
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nearly everybody would be shut out.
    Everybody {
        /// The range.
        range: AddrRange,
    },
    /// The host would lose itself or its link.
    Untouchable {
        /// The range.
        range: AddrRange,
        /// The network that it reaches into.
        network: String,
        /// What that is.
        what: Untouchable,
    },
    /// This server needs it.
    Guarded {
        /// The range.
        range: AddrRange,
        /// What the server needs.
        guarded: AddrRange,
        /// What that is.
        what: String,
    },
    /// It is not blocked.
    NotBlocked {
        /// The range.
        range: AddrRange,
        /// Another block that overlaps it.
        around: Option<AddrRange>,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Everybody { .. } | Refusal::Untouchable { .. } => RefusalKind::Wrong,
            Refusal::Guarded { .. } | Refusal::NotBlocked { .. } => RefusalKind::No,
        }
    }
}

impl Blocks {
    pub(super) fn set(new: NewBlock, view: &View<'_>) -> Result<Plan<Blocks>, Refusal> {
        let NewBlock { range, lasts, reason } = new;
        may_be_blocked(range, view)?;
        let block = Block {
            range,
            until: lasts.map(|span| view.now().after(span)),
            reason: reason.chars().take(MAX_REASON_LEN).collect(),
            since: view.now(),
            by: view.caller().to_string(),
        };
        let mut plan = Plan::say(Reply::Blocked(block.clone()));
        plan.put(range, block, Deed::Block);
        plan.effects.unlearn.push(Unlearn::Within(vec![range]));
        plan.effects.facts.push(Fact::Blocked(range));
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    pub(super) fn remove(&self, range: AddrRange) -> Result<Plan<Blocks>, Refusal> {
        if !self.all.contains_key(&range) {
            let around = self.all.keys().find(|block| block.overlaps(&range)).copied();
            return Err(Refusal::NotBlocked { range, around });
        }
        let mut plan = Plan::say(Reply::Unblocked { range });
        plan.remove(range, Deed::Unblock);
        plan.effects.facts.push(Fact::Unblocked(range));
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// The blocks that are at least as wide as something that is allowed just now.
    pub(super) fn over_allowed(&self, ranges: &[AddrRange], now: Time) -> Plan<Blocks> {
        let over = ranges.iter().flat_map(|range| {
            let over = self.all.over(*range);
            over.filter(move |(block, _)| block.width() <= range.width())
        });
        let over = over.filter(|(_, block)| !is_over(block.until, now));
        let over: BTreeMap<AddrRange, &Block> = over.collect();
        let said = over.into_keys().map(|range| Reply::StaysBlocked { range });
        Plan { said: said.collect(), ..Plan::default() }
    }

    /// The blocks that shut out what this server needs.
    pub(super) fn over_guarded(&self, view: &View<'_>) -> Plan<Blocks> {
        let mut plan = Plan::default();
        for (guarded, what) in &view.posture().site.guarded {
            let mut over = self.all.over(*guarded);
            let block = over.find(|(_, block)| !is_over(block.until, view.now()));
            if let Some((range, _)) = block {
                let (guarded, what) = (*guarded, what.clone());
                plan.said.push(Reply::ShutsOut { guarded, what, range });
            }
        }
        plan
    }
}

fn may_be_blocked(range: AddrRange, view: &View<'_>) -> Result<(), Refusal> {
    if is_everybody(&range) {
        return Err(Refusal::Everybody { range });
    }
    let untouchable = UNTOUCHABLE.iter().find(|(network, _)| {
        network.parse::<AddrRange>().is_ok_and(|network| network.overlaps(&range))
    });
    if let Some((network, what)) = untouchable {
        return Err(Refusal::Untouchable { range, network: (*network).to_owned(), what: *what });
    }
    let mut guarded = view.posture().site.guarded.iter();
    match guarded.find(|(guarded, _)| guarded.overlaps(&range)) {
        Some((guarded, what)) if !view.force() => {
            Err(Refusal::Guarded { range, guarded: *guarded, what: what.clone() })
        }
        _ => Ok(()),
    }
}
