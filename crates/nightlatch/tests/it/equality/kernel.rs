//! The server's kernel: brought from state to state as the daemon does it, by differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nightlatch::shell::firewall::Firewall;
use nightlatch_core::AddrRange;
use nightlatch_core::action::Deny;
use nightlatch_core::learned::Lasting;
use nightlatch_core::ruleset::{Delta, Ruleset, Structure, Table, Target};
use nightlatch_netfilter::Netlink;
use nightlatch_parse::ranges::RangeList;

pub(super) struct Kernel {
    pub(super) firewall: Firewall,
    pub(super) netlink: Netlink,
    /// What stands.
    table: Option<Table>,
    /// What is denied.
    denied: Vec<Lasting>,
}

impl Kernel {
    pub(super) fn open() -> Kernel {
        let (firewall, netlink) = (Firewall::open().unwrap(), Netlink::open().unwrap());
        Kernel { firewall, netlink, table: None, denied: Vec::new() }
    }

    pub(super) fn take_down(&mut self) {
        self.firewall.take_down().unwrap();
        self.table = None;
        self.denied.clear();
    }

    /// Has exactly this be denied.
    pub(super) fn deny(&mut self, elements: Vec<Lasting>) {
        let stale = self.denied.iter().map(|it| (it.set, it.key)).collect();
        let deny = Deny { to: 1, elements: elements.clone(), stale, is_urgent: true };
        self.firewall.deny(&deny).unwrap();
        self.denied = elements;
    }

    pub(super) fn bring(
        &mut self,
        (table, structure): (Table, Structure),
        lists: Arc<RangeList>,
        trial: Option<Duration>,
    ) {
        match &self.table {
            None => {
                let ruleset = Ruleset::flat(structure, &table, lists);
                self.firewall.load_with_lists(ruleset, trial, Vec::new()).unwrap().unwrap();
            }
            Some(old) => {
                let delta = difference(old, &table);
                self.firewall.apply(Some(structure), trial, &delta).unwrap();
                self.firewall.exchange(&lists).unwrap();
            }
        }
        self.table = Some(table);
    }
}

fn difference(old: &Table, new: &Table) -> Delta {
    type Pieces = BTreeMap<AddrRange, Arc<Target>>;
    let (old, new): (Pieces, Pieces) = (old.iter().collect(), new.iter().collect());
    let missing = |these: &Pieces, there: &Pieces| {
        let missing = these.iter().filter(|(range, target)| there.get(range) != Some(target));
        missing.map(|(range, target)| (*range, Arc::clone(target))).collect()
    };
    Delta { gone: missing(&old, &new), new: missing(&new, &old) }
}
