//! What is sent to the kernel: the whole table, a difference, the lists.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_core::attribution::Attribution;
use nightlatch_core::learned::{Filled, Lasting};
use nightlatch_core::ruleset::{
    Delta, ListSet, ListSets, Ruleset, StrangersShare, Structure, TABLE, Table,
};
use nightlatch_netfilter::{Netlink, Structure as Found};
use nightlatch_parse::ranges::RangeList;

use super::apply;
use super::attribution::{acknowledge, count};
use super::lists::{self, Exchange, Preparation};
use super::{Firewall, conntrack_max, elements, learned};

/// The table in the kernel, as far as we made it so.
#[derive(Debug)]
pub(super) struct Standing {
    /// Chains and rules as they are desired.
    pub(super) desired: Structure,
    /// In which sets the lists in force are.
    pub(super) list_sets: ListSets,
    /// Whether the table is closed to strangers until the lists are there that keep the worst of
    /// them out.
    pub(super) waits_for_lists: bool,
    /// The lists in these sets.
    pub(super) content: Content,
    /// The digest of the elements of accounts and closures.
    pub(super) elements: u64,
    /// Chains and rules as the kernel told of them after they were loaded.
    pub(super) structure: Found,
    pub(super) attribution: Attribution,
}

impl Standing {
    fn change_elements(&mut self, netlink: &mut Netlink, delta: &Delta) -> Result<(), String> {
        let digest = elements::apply(netlink, delta)?;
        self.elements = self.elements.wrapping_add(digest);
        Ok(())
    }

    /// Takes sets of lists that were just created for ours, if nothing else has changed.
    fn expect_sets_of_lists(&mut self, netlink: &mut Netlink) -> Result<(), String> {
        let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
        if let Some(found) = found
            && self.structure.is_left_of(&found, ListSet::is_name_of_one)
        {
            self.structure = found;
        }
        acknowledge(&mut self.attribution, netlink).map(|_| ())
    }
}

/// What came of a load.
#[derive(Debug)]
#[must_use]
pub struct Loaded {
    /// Whether the lists stand too.
    pub lists_stand: bool,
    /// Whether all learned state was put back.
    pub put_back: Result<(), String>,
}

/// How far an exchange of lists is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// All was sent, and is in force.
    All,
    /// There is more to send.
    Part,
    /// There is more to send, and another program has changed a ruleset meanwhile. Reports are suspended, so only a
    /// look tells whether it was ours.
    PartBesideOthers,
}

/// What the sets of lists contain.
#[derive(Debug)]
pub(super) enum Content {
    /// These lists.
    Stands(Arc<RangeList>),
    /// Nothing yet.
    Empty,
    /// They are being exchanged, or nothing is known of them.
    Unknown,
}

impl Content {
    /// Of a table that has just been created.
    fn of_a_new_table(lists: &Arc<RangeList>) -> Content {
        if lists.is_empty() { Content::Stands(Arc::clone(lists)) } else { Content::Empty }
    }
}

/// Above so many elements a load is not followed by reading all of them back: the kernel lists a long
/// set in quadratic time (0.3 s for 100,000), and it has acknowledged each element.
const MANY: usize = 50_000;

impl Firewall {
    /// Makes the kernel's table this one, whatever it is now. `trial` is how long an unconfirmed table
    /// is to hold before the kernel opens by itself.
    ///
    /// If the lists do not stand too, [`Firewall::exchange`] follows: until it has ended, the lists in
    /// force stay in force, or a table that begins stays closed to strangers.
    ///
    /// Learned state is put back into a new table before the chains that ask for it. A table that
    /// stands keeps its own, which counts if it lasts longer.
    ///
    /// # Errors
    /// What the kernel or `nft` said. The table is then closed rather than open: each step is one
    /// transaction, and no step opens what the next one closes.
    pub fn load(
        &mut self,
        desired: Structure,
        table: Arc<Table>,
        lists: &Arc<RangeList>,
        trial: Option<Duration>,
        learned: Vec<Lasting>,
    ) -> Result<Loaded, String> {
        let flat = |structure| Ruleset::flat(structure, &table, Arc::clone(lists));
        self.load_elements(desired, flat, lists, trial, learned)
    }

    /// Loads the whole table with its lists. Returns whether learned state was put back.
    ///
    /// # Errors
    /// As [`Firewall::load`].
    pub fn load_with_lists(
        &mut self,
        ruleset: Ruleset,
        trial: Option<Duration>,
        learned: Vec<Lasting>,
    ) -> Result<Result<(), String>, String> {
        let (structure, lists) = (ruleset.structure.clone(), Arc::clone(&ruleset.lists));
        let loaded = self.load_elements(structure, |_| ruleset, &lists, trial, learned)?;
        self.prove()?;
        if !loaded.lists_stand {
            self.exchange(&lists)?;
            self.prove()?;
        }
        Ok(loaded.put_back)
    }

    fn load_elements(
        &mut self,
        desired: Structure,
        elements_of: impl FnOnce(Structure) -> Ruleset,
        lists: &Arc<RangeList>,
        trial: Option<Duration>,
        learned: Vec<Lasting>,
    ) -> Result<Loaded, String> {
        let old = self.standing.take();
        // Counted before anything is done: what another program does to the lists while chains and
        // rules are loaded, and loaded again, must not be taken for ours.
        let begun = count(&mut self.netlink)?;
        let mut attribution = Attribution::new(begun);
        let first = !std::mem::replace(&mut self.begun, true);
        let left = first.then(|| self.left.sets_of(lists, begun.generation)).flatten();
        let there = self.netlink.structure(TABLE).map_err(|error| error.to_string())?;
        // A table that begins, begins closed: what is open to strangers opens when the lists are
        // there that keep the worst of them out.
        let begins = there.is_none();
        let (list_sets, content) = match (there, left) {
            (None, _) => {
                // To choose them again would take longer than to restore the rules.
                let sets = old.map_or_else(|| ListSets::suiting(lists), |old| old.list_sets);
                (sets, Content::of_a_new_table(lists))
            }
            (Some(_), Some(left)) => (left, Content::Stands(Arc::clone(lists))),
            (Some(there), None) => {
                let sets = lists::in_force(&there);
                // Whether they are empty is quickly said.
                let is_known = lists.is_empty() && lists::are_empty(&mut self.netlink, &sets);
                let known = is_known.then(|| Content::Stands(Arc::clone(lists)));
                (sets, known.unwrap_or(Content::Unknown))
            }
        };
        let waits_for_lists = matches!(content, Content::Empty) && desired.open.is_some();
        let effective = self.effective(&desired, &list_sets, waits_for_lists);
        let learned = match begins {
            true => learned::put_back_first(&mut self.netlink, learned),
            false => learned,
        };
        let from_records = |it: &Lasting| it.set.filled == Filled::FromRecords;
        let (recorded, learned): (Vec<Lasting>, _) = learned.into_iter().partition(from_records);
        let loaded = apply::load_structure(&mut self.netlink, None, &effective)?;
        let denied = match begins {
            true => learned::deny(&mut self.netlink, &recorded, &BTreeSet::new()),
            false => learned::deny_only(&mut self.netlink, &recorded),
        };
        let put_back = learned::teach(&mut self.netlink, &learned).and(denied);
        let ruleset = elements_of(desired);
        elements::bring(&mut self.netlink, begins, &ruleset)?;
        self.set_trial(None, &effective, trial)?;
        apply::remove_stale(&mut self.netlink, &effective)?;
        learned::set_published(&mut self.netlink, &self.published)?;
        let now = self.began.elapsed();
        let structure =
            apply::read_back(&mut self.netlink, loaded, &effective, &mut attribution, now)?;
        let elements = elements::digest(&ruleset);
        let few = ruleset.accounts.len() + ruleset.closed.len() <= MANY;
        if few && !elements::all_match(&mut self.netlink, elements) {
            return Err("after loading, the sets do not match what was written".to_owned());
        }
        let desired = ruleset.structure;
        let lists_stand = matches!(content, Content::Stands(_));
        self.standing = Some(Standing {
            desired,
            list_sets,
            waits_for_lists,
            content,
            elements,
            structure,
            attribution,
        });
        self.note_lists();
        Ok(Loaded { lists_stand, put_back })
    }

    /// Changes the kernel's table by a difference. Nothing is read back: the kernel acknowledges every
    /// message, and its count of changes shows whether another program was at it.
    ///
    /// # Errors
    /// What the kernel or `nft` said, or that no table is loaded that could be changed. A whole load must
    /// follow.
    pub fn apply(
        &mut self,
        structure: Option<Structure>,
        trial: Option<Duration>,
        delta: &Delta,
    ) -> Result<(), String> {
        let mut standing =
            self.standing.take().ok_or("no table is loaded that could be changed")?;
        let Some(structure) = structure else {
            standing.change_elements(&mut self.netlink, delta)?;
            acknowledge(&mut standing.attribution, &mut self.netlink)?;
            self.standing = Some(standing);
            self.note_lists();
            return Ok(());
        };
        let before = self.effective_of(&standing);
        standing.desired = structure;
        let after = self.effective_of(&standing);
        let loaded = (before != after)
            .then(|| apply::load_structure(&mut self.netlink, Some(&before), &after))
            .transpose()?;
        standing.change_elements(&mut self.netlink, delta)?;
        self.set_trial(Some(&before), &after, trial)?;
        if let Some(loaded) = loaded {
            self.take_in(&mut standing, loaded, &after)?;
        } else {
            acknowledge(&mut standing.attribution, &mut self.netlink)?;
        }
        self.standing = Some(standing);
        self.note_lists();
        Ok(())
    }

    /// What an exchange of the lists starts from; `None` if there is nothing to exchange.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn prepare(&mut self, lists: &Arc<RangeList>) -> Result<Option<Preparation>, String> {
        let standing = self.standing.as_mut().ok_or("no table is loaded that could be changed")?;
        let old = match std::mem::replace(&mut standing.content, Content::Unknown) {
            Content::Stands(old) if *old == **lists => {
                standing.content = Content::Stands(Arc::clone(lists));
                return Ok(None);
            }
            Content::Stands(old) => Some(old),
            Content::Empty => Some(Arc::default()),
            Content::Unknown => None,
        };
        let (sets, waits) = (standing.list_sets.clone(), standing.waits_for_lists);
        Ok(Some(Preparation { old, sets, new: Arc::clone(lists), waits }))
    }

    /// Begins an exchange.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn begin(&mut self, exchange: &Exchange) -> Result<(), String> {
        let Firewall { netlink, standing, .. } = self;
        let standing = standing.as_mut().ok_or("no table is loaded that could be changed")?;
        if exchange.beside {
            exchange.create_sets(netlink)?;
            standing.expect_sets_of_lists(netlink)?;
        }
        Ok(())
    }

    /// Exchanges the lists, from the beginning to the end.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn exchange(&mut self, lists: &Arc<RangeList>) -> Result<(), String> {
        if let Some(preparation) = self.prepare(lists)? {
            let mut exchange = preparation.exchange();
            self.begin(&exchange)?;
            while self.step(&mut exchange)? != Sent::All {}
        }
        Ok(())
    }

    /// Sends the next part of an exchange; at its end, its lists are in force.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn step(&mut self, exchange: &mut Exchange) -> Result<Sent, String> {
        if self.standing.is_none() {
            return Err("no table is loaded that could be changed".to_owned());
        }
        let more = exchange.step(&mut self.netlink)?;
        if !more && exchange.takes_force {
            self.put_in_force(exchange)?;
        }
        let mut alone = true;
        let Firewall { netlink, standing, .. } = self;
        if let Some(standing) = standing {
            alone = acknowledge(&mut standing.attribution, netlink)?;
            if !more {
                standing.content = Content::Stands(Arc::clone(&exchange.lists));
            }
        }
        if !more {
            self.note_lists();
        }
        Ok(match (more, alone) {
            (false, _) => Sent::All,
            (true, true) => Sent::Part,
            (true, false) => Sent::PartBesideOthers,
        })
    }

    /// Loads the rules that look in the sets of an exchange.
    fn put_in_force(&mut self, exchange: &Exchange) -> Result<(), String> {
        let Some(mut standing) = self.standing.take() else { return Ok(()) };
        let before = self.effective_of(&standing);
        standing.list_sets = exchange.sets.clone();
        standing.waits_for_lists = false;
        let after = self.effective_of(&standing);
        let loaded = apply::load_structure(&mut self.netlink, Some(&before), &after)?;
        self.take_in(&mut standing, loaded, &after)?;
        self.standing = Some(standing);
        Ok(())
    }

    /// Loads chains and rules once more, and nothing else.
    pub(super) fn load_again(&mut self) -> Result<(), String> {
        let Some(mut standing) = self.standing.take() else { return Ok(()) };
        let same = self.effective_of(&standing);
        let loaded = apply::load_structure(&mut self.netlink, Some(&same), &same)?;
        self.take_in(&mut standing, loaded, &same)?;
        self.standing = Some(standing);
        self.note_lists();
        Ok(())
    }

    /// Takes chains and rules that were loaded for those in force, and removes what they replace.
    fn take_in(
        &mut self,
        standing: &mut Standing,
        loaded: apply::Loaded,
        desired: &Structure,
    ) -> Result<(), String> {
        apply::remove_stale(&mut self.netlink, desired)?;
        let (attribution, now) = (&mut standing.attribution, self.began.elapsed());
        standing.structure =
            apply::read_back(&mut self.netlink, loaded, desired, attribution, now)?;
        Ok(())
    }

    /// Removes the table.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn take_down(&mut self) -> Result<(), String> {
        self.standing = None;
        self.netlink.delete_table(TABLE).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Chains and rules as they are loaded, with what is known only here.
    fn effective(&self, desired: &Structure, sets: &ListSets, closed: bool) -> Structure {
        let mut structure = desired.clone();
        structure.containers = !self.published.is_empty();
        structure.share = StrangersShare::of(conntrack_max());
        structure.list_sets = sets.clone();
        structure.open = structure.open.filter(|_| !closed);
        structure
    }

    fn effective_of(&self, standing: &Standing) -> Structure {
        self.effective(&standing.desired, &standing.list_sets, standing.waits_for_lists)
    }

    /// Sets the trial's end in the kernel. During a trial each time anew: it may have been asked to
    /// last longer.
    fn set_trial(
        &mut self,
        old: Option<&Structure>,
        new: &Structure,
        trial: Option<Duration>,
    ) -> Result<(), String> {
        if new.trial || old.is_none_or(|old| old.trial) {
            apply::set_trial(&mut self.netlink, trial.filter(|_| new.trial))?;
        }
        Ok(())
    }

    /// Counts what we have just changed ourselves as ours. If the kernel cannot be asked, the next look
    /// finds out.
    pub(super) fn count_own(&mut self) {
        if let Some(standing) = &mut self.standing {
            let _ = acknowledge(&mut standing.attribution, &mut self.netlink);
        }
    }

    /// Notes the lists in force for the next run.
    pub(super) fn note_lists(&mut self) {
        let Some(standing) = &self.standing else { return };
        if let Content::Stands(lists) = &standing.content {
            let known_up_to = standing.attribution.known_up_to();
            self.left.note_that(lists, &standing.list_sets, known_up_to);
        }
    }

    /// Loads the rules again if they depend on something that has changed: whether ports are
    /// published.
    pub(super) fn renew_rules(&mut self, had_containers: bool) -> Result<(), String> {
        if had_containers != self.published.is_empty() {
            return Ok(());
        }
        let Some(mut standing) = self.standing.take() else { return Ok(()) };
        let after = self.effective_of(&standing);
        let old = Structure { containers: had_containers, ..after.clone() };
        let loaded = apply::load_structure(&mut self.netlink, Some(&old), &after)?;
        self.take_in(&mut standing, loaded, &after)?;
        self.standing = Some(standing);
        self.note_lists();
        Ok(())
    }
}
