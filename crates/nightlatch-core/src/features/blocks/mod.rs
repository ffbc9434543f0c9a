//! Blocks: an administrator's "never" for an address, network or range.

mod block;
mod requests;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use block::Block;
pub use requests::{NewBlock, Refusal, Reply, Request};

use super::{By, Change, Fact, Feature, Plan, Put, Reads, View};
use crate::AddrRange;
use crate::policy::{Claim, Says};
use crate::records::Records;
use crate::time::{Time, is_over};

/// The blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    /// All of them, by range.
    pub all: Records<Block>,
}

nothing!(Event, Job);

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A block has ended by itself.
    Ended {
        /// Its range.
        range: AddrRange,
    },
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// A block was set.
    Block,
    /// Somebody removed a block.
    Unblock,
    /// A block has ended by itself.
    Expire,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Block => "block",
            Deed::Unblock => "unblock",
            Deed::Expire => "expire",
        })
    }
}

impl Feature for Blocks {
    const NAME: &'static str = "blocks";

    type Key = AddrRange;
    type Config = ();
    type Record = Block;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &AddrRange, body: &str) -> serde_json::Result<Block> {
        serde_json::from_str(body)
    }

    fn own_key(block: &Block) -> Option<AddrRange> {
        Some(block.range)
    }

    fn put(&mut self, key: &AddrRange, record: Option<Block>) -> Option<Block> {
        match record {
            Some(block) => self.all.put(block),
            None => self.all.remove(key),
        }
    }

    fn load(&mut self, records: Vec<(AddrRange, Block)>) {
        self.all = records.into_iter().map(|(_, block)| block).collect();
    }

    fn each(&self, found: &mut dyn FnMut(&AddrRange, &Block)) {
        self.all.iter().for_each(|(key, block)| found(key, block));
    }

    fn claimed(block: &Block) -> Vec<AddrRange> {
        vec![block.range]
    }

    fn claims<'a>(&'a self, over: AddrRange, now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, block) in self.all.over(over) {
            if !is_over(block.until, now) {
                found(Claim { over: range, says: Says::Block, by: By::Blocks(&block.range) });
            }
        }
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::Set(_) => Reads::Learned,
            Request::Remove { .. } => Reads::Nothing,
            Request::List => Reads::Question,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Blocks>, Refusal> {
        match request {
            Request::Set(new) => Blocks::set(new, view),
            Request::Remove { range } => self.remove(range),
            Request::List => Ok(Plan::say(Reply::All(self.all.values().cloned().collect()))),
        }
    }

    fn follow(&self, fact: &Fact, view: &View<'_>) -> Plan<Blocks> {
        match fact {
            Fact::Allowed { ranges, .. } => self.over_allowed(ranges, view.now()),
            Fact::PutUp { .. } => self.over_guarded(view),
            _ => Plan::default(),
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.all.next_end()
    }

    fn due(&self, view: &View<'_>) -> Plan<Blocks> {
        let mut plan = Plan::default();
        for block in self.all.ended(view.now()) {
            plan.remove(block.range, Deed::Expire);
            plan.notices.push(Notice::Ended { range: block.range });
            plan.effects.facts.push(Fact::Unblocked(block.range));
            plan.effects.must_happen = true;
        }
        plan
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        let ends = |block: &Block| block.until.map(|until| (block.range, until));
        let soon = view.now().after(crate::api::SOON);
        let ending = self.all.values().filter_map(ends).filter(|(_, until)| *until <= soon);
        Some(Reply::Report { count: self.all.len(), ending: ending.collect() })
    }

    fn about(&self, address: IpAddr, view: &View<'_>) -> Option<Reply> {
        let blocks = self.all.at(address).filter(|block| !is_over(block.until, view.now()));
        let mut blocks: Vec<Block> = blocks.cloned().collect();
        blocks.sort_by_key(|block| block.range.width());
        Some(Reply::All(blocks))
    }
}

/// Adds or replaces a block.
pub fn put(block: Block) -> Change {
    Put::<Blocks> { key: block.range, record: Some(block) }.into()
}

/// Removes a block.
pub fn removed(range: AddrRange) -> Change {
    Put::<Blocks> { key: range, record: None }.into()
}
