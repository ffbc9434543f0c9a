//! A kernel that executes what is sent, element by element, and refuses what cannot be executed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use crate::AddrRange;
use crate::action::{Apply, Load};
use crate::policy::Answer;
use crate::ruleset::{BLOCKED, Ruleset, Structure, Target};

/// A table in the kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kernel {
    pub(super) table: Option<Loaded>,
    /// Whether something was refused since the last load: differences do not count then.
    pub(super) is_behind: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Loaded {
    pub(super) structure: Structure,
    pub(super) pieces: BTreeMap<AddrRange, Arc<Target>>,
    pub(super) lists: Arc<RangeList>,
}

impl Kernel {
    pub(super) fn load(&mut self, load: Load) {
        let Load { table, structure, lists, .. } = load;
        self.is_behind = false;
        self.table = Some(Loaded { structure, pieces: table.iter().collect(), lists });
    }

    pub(super) fn take_down(&mut self) {
        (self.is_behind, self.table) = (false, None);
    }

    pub(super) fn apply(&mut self, apply: Apply) -> Result<(), String> {
        if self.is_behind {
            return Err("behind".to_owned());
        }
        let Some(table) = self.table.as_mut() else {
            self.is_behind = true;
            return Err("there is no table".to_owned());
        };
        if let Some(structure) = apply.structure {
            // Chains that elements lead to cannot be deleted.
            let Structure { chains, closures, .. } = std::mem::take(&mut table.structure);
            table.structure = structure;
            for target in table.pieces.values() {
                keep(&mut table.structure.chains, &chains, target.chain.as_deref());
                keep(&mut table.structure.closures, &closures, target.closure.as_deref());
            }
        }
        for (range, target) in apply.delta.gone {
            assert_eq!(table.pieces.remove(&range), Some(target), "it was not there: {range}");
        }
        for (range, target) in apply.delta.new {
            let overlapped = table.pieces.keys().any(|other| other.overlaps(&range));
            assert!(!overlapped, "{range} overlaps what is there");
            let leads = |name: &Arc<str>| table.structure.chains.contains_key(&**name);
            assert!(target.chain.iter().all(leads), "{range} leads nowhere");
            let closes = |name: &Arc<str>| {
                **name == *BLOCKED || table.structure.closures.contains_key(&**name)
            };
            assert!(target.closure.iter().all(closes), "{range} leads nowhere");
            table.pieces.insert(range, target);
        }
        Ok(())
    }

    /// What holds for an address.
    pub(super) fn at(&self, address: IpAddr) -> Answer {
        let pieces = self.table.iter().flat_map(|table| &table.pieces);
        let mut found = pieces.filter(|(range, _)| range.contains(address));
        found.next().map_or_else(Answer::default, |(_, target)| target.answer.clone())
    }

    /// The table as a ruleset, without chains that nothing leads to.
    pub(super) fn ruleset(&self) -> Option<Ruleset> {
        let table = self.table.as_ref()?;
        let mut ruleset = Ruleset {
            structure: table.structure.clone(),
            lists: Arc::clone(&table.lists),
            ..Ruleset::default()
        };
        for (range, target) in &table.pieces {
            ruleset.accounts.extend(target.chain.clone().map(|chain| (*range, chain)));
            ruleset.closed.extend(target.closure.clone().map(|closure| (*range, closure)));
            ruleset.excepted.extend(target.answer.excepted.then_some(*range));
        }
        let used = |elements: &[(AddrRange, Arc<str>)]| -> BTreeSet<Arc<str>> {
            elements.iter().map(|(_, name)| Arc::clone(name)).collect()
        };
        let (chains, closures) = (used(&ruleset.accounts), used(&ruleset.closed));
        ruleset.structure.chains.retain(|name, _| chains.contains(name.as_str()));
        ruleset.structure.closures.retain(|name, _| closures.contains(name.as_str()));
        Some(ruleset)
    }
}

fn keep<T: Clone>(now: &mut BTreeMap<String, T>, before: &BTreeMap<String, T>, name: Option<&str>) {
    if let Some((name, chain)) = name.and_then(|name| before.get_key_value(name)) {
        now.entry(name.clone()).or_insert_with(|| chain.clone());
    }
}
