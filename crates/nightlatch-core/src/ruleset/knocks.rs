//! Port knocking in the desired table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::{condition_chain, fingerprint};
use super::{ConditionChain, Structure, names};
use crate::Family;
use crate::condition::MAX_IDLE;
use crate::knock::{Knock, Opens, Sequences};
use crate::policy::World;
use crate::secret::Secret;

/// The sequences that the kernel knows, and what they open. It is not in the copies of a ruleset on disk,
/// because the sequences are secret: who boots from such a copy opens nothing by knocking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnockRules {
    /// The ports of each sequence, and the place of what it opens in `classes`.
    pub sequences: Vec<(Secret<[u16; 3]>, usize)>,
    /// What they open, each once.
    pub classes: Vec<KnockClass>,
}

/// What some sequences open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnockClass {
    /// What its chain and its sets are called by. It follows from what is opened and from the sequences: what
    /// a revoked user has opened does not count for others.
    pub id: String,
    /// The chain that examines whether a lease counts, and accepts.
    pub condition: String,
    /// After how many seconds without an accepted packet it ends.
    pub idle: u64,
    /// After how many seconds in any case.
    pub lasts: u64,
}

impl KnockClass {
    /// The chain that opens an address.
    pub fn chain(&self) -> String {
        format!("knock.opens.{}", self.id)
    }

    /// The set of the addresses that are open, of a family.
    pub fn set(&self, family: Family) -> String {
        format!("knocked.{}.{}", self.id, if family == Family::V4 { '4' } else { '6' })
    }
}

/// The chains that are there if there are sequences at all.
const CHAINS: [&str; 9] = [
    "knock.syn",
    "knock.examined",
    "knock.counted",
    "knock.first",
    "knock.begins",
    "knock.next",
    "knock.moves",
    "knock.opened",
    "knock.opened_out",
];
/// The same if ports are published to containers.
const FORWARD: &str = "knock.opened_forward";
/// The same in the mode `allowlist`, and in the mode `open`.
const BY_MODE: [&str; 2] = ["knock.new_syn", "knock.blocklisted"];

impl KnockRules {
    /// Whether nobody can knock.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// The names of all chains.
    pub(super) fn chains(&self, containers: bool, open: bool) -> impl Iterator<Item = String> {
        let forward = containers.then_some(&FORWARD);
        let [closed, listed] = &BY_MODE;
        let by_mode = if open { listed } else { closed };
        let fixed = CHAINS.iter().chain(forward).chain([by_mode]).filter(|_| !self.is_empty());
        let fixed = fixed.map(ToString::to_string);
        fixed.chain(self.classes.iter().map(KnockClass::chain))
    }

    /// The most seconds for which a sequence opens.
    pub fn longest(&self) -> u64 {
        self.classes.iter().map(|class| class.lasts).max().unwrap_or(1)
    }

    /// The names of the sets that an address leaves when the daemon has made a lease of its knock.
    pub fn left(&self) -> impl Iterator<Item = (String, Family)> {
        let known = [(Family::V4, '4'), (Family::V6, '6')];
        let known = known.map(|(family, digit)| (format!("{}{digit}", names::KNOCK_KNOWN), family));
        self.sets().chain(known.into_iter().filter(|_| !self.is_empty()))
    }

    /// The names of the sets of open addresses.
    pub fn sets(&self) -> impl Iterator<Item = (String, Family)> {
        let families = [Family::V4, Family::V6];
        self.classes.iter().flat_map(move |class| families.map(|it| (class.set(it), it)))
    }
}

/// Adds sequences. One with the port of a service cannot be completed, and is left out.
pub(super) fn add(structure: &mut Structure, sequences: &Sequences, world: &World<'_>) {
    let mut classes: BTreeMap<&Opens, Vec<&Knock>> = BTreeMap::new();
    let services = &structure.ports.services;
    for knock in sequences.iter().filter(|knock| knock.is_possible(services)) {
        classes.entry(&knock.opens).or_default().push(knock);
    }
    for (number, (opens, knocks)) in classes.into_iter().enumerate() {
        let (condition, idle) = (opens.condition(), opens.idle.min(opens.lasts()).min(MAX_IDLE));
        let name = condition_chain(&condition, Some(idle), &opens.services);
        let chain = ConditionChain::new(&condition, Some(idle), &opens.services, world);
        structure.conditions.insert(name.clone(), chain);
        let mut ports: Vec<String> = Vec::with_capacity(knocks.len());
        for knock in knocks {
            ports.push(format!("{:?}", knock.ports));
            structure.knocks.sequences.push((Secret::new(knock.ports), number));
        }
        ports.sort_unstable();
        let seconds = |time: Duration| time.as_secs().max(1);
        structure.knocks.classes.push(KnockClass {
            id: fingerprint(&format!("{name} {} {}", seconds(opens.lasts()), ports.concat())),
            condition: name,
            idle: seconds(idle),
            lasts: seconds(opens.lasts()),
        });
    }
}
