//! What the kernel was told, and what it may be told now.

use std::collections::BTreeSet;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use super::learned::put_back;
use super::retry;
use crate::action::{Action, Apply, Deny, Load, Revision};
use crate::address::merge;
use crate::effort;
use crate::knock::Sequences;
use crate::learned::{Element, Key, Lasting, SetSpec};
use crate::policy::World;
use crate::ruleset::{self, Delta, Structure, Table};
use crate::time::Time;
use crate::{AddrRange, Family};

/// The kernel's table as far as it was sent, and how the kernel answered.
///
/// A range that an unwritten change touches is withheld: until the change is on disk, the kernel gets
/// there only what gives nobody more than it has. So differences are always between what was sent and
/// what may be sent now, never between two states of the features.
#[derive(Debug, Default)]
pub(super) struct Projection {
    /// The pieces that the kernel has when it has answered everything.
    sent: Arc<Table>,
    structure: Structure,
    /// Who can knock there.
    knocks: Arc<Sequences>,
    lists: Arc<RangeList>,
    /// Whether a table was loaded and not taken down.
    stands: bool,
    /// The ranges that the changes of the running commit touch, merged.
    withheld: Vec<AddrRange>,
    /// The elements of sets that follow from records which the running commit removes: until it is on disk,
    /// a load puts them back.
    withheld_elements: Vec<Element>,
    /// Whether a commit runs.
    is_committing: bool,
    /// The number of the last thing that was sent.
    revision: Revision,
    /// The last revision of the table without lists, and the last one of the lists.
    table_revision: Revision,
    lists_revision: Revision,
    /// The last revision of the sets that follow from records.
    denied_revision: Revision,
    /// Up to which revision the kernel has answered: without lists, and the lists.
    settled: Settled,
    /// The last revision that was the whole table.
    load_revision: Revision,
    /// Answers to what was sent before are outdated: it was all sent again.
    answers_count_from: Revision,
    /// Why the kernel's table is not what it should be.
    pub(super) trouble: Option<String>,
    /// When it is tried again.
    pub(super) retry_at: Option<Time>,
    /// How often the kernel refused in a row.
    pub(super) refused: u32,
}

/// Up to which revision the kernel has answered.
#[derive(Clone, Copy, Debug, Default)]
struct Settled {
    table: Revision,
    lists: Revision,
    denied: Revision,
}

/// What must be in the kernel before a change is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) table: Revision,
    pub(super) lists: Revision,
    pub(super) denied: Revision,
}

impl Projection {
    /// Whether the kernel has a table that follows by differences.
    pub(super) fn follows(&self) -> bool {
        self.stands && self.refused == 0
    }

    /// What was sent last: whoever waits for it waits for everything before it too, except lists.
    /// Nothing if the firewall is off.
    pub(super) fn needs(&self) -> Needs {
        match self.stands {
            true => Needs { table: self.table_revision, lists: 0, denied: self.denied_revision },
            false => Needs::default(),
        }
    }

    /// As [`Projection::needs`], with lists if they were sent since a revision, and with a removal of
    /// the table.
    pub(super) fn needs_since(&self, before: Revision) -> Needs {
        let since = |revision| if revision > before { revision } else { 0 };
        let Needs { table, denied, .. } = self.needs();
        let table = table.max(since(self.table_revision));
        Needs { table, lists: since(self.lists_revision), denied }
    }

    /// The number of the last thing that was sent.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the kernel has what is needed.
    pub(super) fn has(&self, needs: Needs) -> bool {
        effort::step();
        let Settled { table, lists, denied } = self.settled;
        needs.table <= table && needs.lists <= lists && needs.denied <= denied
    }

    /// Whether an answer to a revision says anything about what stands now.
    pub(super) fn is_current(&self, to: Revision) -> bool {
        to >= self.answers_count_from
    }

    /// Whether the whole table is being loaded: strangers may still come in.
    pub(super) fn is_loading(&self) -> bool {
        self.refused == 0 && self.load_revision > self.settled.table
    }

    /// The kernel has answered a revision.
    pub(super) fn settle(&mut self, to: Revision) {
        self.settled.table = self.settled.table.max(to);
    }

    /// The kernel has answered the lists of a revision.
    pub(super) fn settle_lists(&mut self, to: Revision) {
        self.settled.lists = self.settled.lists.max(to);
    }

    /// The kernel has answered a revision of the sets that follow from records.
    pub(super) fn settle_denied(&mut self, to: Revision) {
        self.settled.denied = self.settled.denied.max(to);
    }

    /// A difference of the sets that follow from records, if there is a table that has them.
    pub(super) fn deny(
        &mut self,
        elements: Vec<Lasting>,
        stale: BTreeSet<(&'static SetSpec, Key)>,
        is_urgent: bool,
    ) -> Option<Action> {
        if !self.stands || elements.is_empty() && stale.is_empty() {
            return None;
        }
        self.revision += 1;
        self.denied_revision = self.revision;
        let deny = Deny { to: self.revision, elements, stale, is_urgent };
        Some(Action::Deny(Box::new(deny)))
    }

    /// A commit begins whose changes touch these ranges, and remove these elements.
    pub(super) fn withhold(&mut self, touched: Vec<AddrRange>, elements: Vec<Element>) {
        self.withheld = merge(touched);
        self.withheld_elements = elements;
        self.is_committing = true;
    }

    /// The commit has ended, well or not: what was withheld may go to the kernel. Returns the ranges
    /// that may have changed.
    pub(super) fn release(&mut self) -> Vec<AddrRange> {
        self.is_committing = false;
        self.withheld_elements.clear();
        std::mem::take(&mut self.withheld)
    }

    /// Whether the kernel copies the packets that the program looks at, and no others, and has the rules
    /// for what is limited, if it has a table.
    pub(super) fn watches(&self, world: &World<'_>) -> bool {
        !self.stands
            || self.structure.watched == world.state.watched()
                && self.structure.limits == world.state.limits()
    }

    /// Follows the state within ranges whose claims have changed.
    pub(super) fn renew(
        &mut self,
        touched: &[AddrRange],
        world: &World<'_>,
        lists: &Arc<RangeList>,
    ) -> Option<Action> {
        if !world.state.posture().protection.stands() {
            return None;
        }
        if !self.stands {
            return Some(self.load(world, lists));
        }
        let delta = self.renew_table(touched, world);
        if !self.follows() {
            // With a change it is tried again at once.
            return Some(self.load(world, lists));
        }
        let is_current = self.watches(world) && !self.lacks_knocks(world);
        if delta.is_empty() && is_current {
            return None;
        }
        let is_other = !is_current || !self.sent.leads_into(&self.structure);
        let structure = is_other.then(|| self.structure(world));
        Some(self.apply(structure, delta, world))
    }

    /// Follows the state where more than claims have changed: the mode, ports, the trial.
    pub(super) fn renew_structure(
        &mut self,
        touched: &[AddrRange],
        world: &World<'_>,
        lists: &Arc<RangeList>,
    ) -> Option<Action> {
        if !world.state.posture().protection.stands() {
            // An earlier run may have left a table.
            let may_stand = self.stands || self.revision == 0;
            return may_stand.then(|| self.take_down());
        }
        if !self.follows() {
            return Some(self.load(world, lists));
        }
        let delta = self.renew_table(touched, world);
        let structure = self.structure(world);
        Some(self.apply(Some(structure), delta, world))
    }

    /// Loads the windows of hours anew on another day: the kernel knows those of some days only.
    pub(super) fn renew_windows(
        &mut self,
        world: &World<'_>,
        lists: &Arc<RangeList>,
    ) -> Option<Action> {
        let day = ruleset::beginning_of_day(world.now);
        let is_old = self.structure.windows_from.is_some_and(|from| from != day);
        if !self.follows() || !is_old {
            return None;
        }
        self.renew_structure(&[], world, lists)
    }

    /// Exchanges the lists if they are others.
    pub(super) fn renew_lists(&mut self, lists: &Arc<RangeList>) -> Option<Action> {
        if !self.follows() || Arc::ptr_eq(&self.lists, lists) {
            return None;
        }
        self.lists = Arc::clone(lists);
        self.revision += 1;
        self.lists_revision = self.revision;
        Some(Action::ExchangeLists { to: self.revision, lists: Arc::clone(lists) })
    }

    /// Sends everything: the kernel's state is not known.
    pub(super) fn load_whole(&mut self, world: &World<'_>, lists: &Arc<RangeList>) -> Action {
        if world.state.posture().protection.stands() {
            self.load(world, lists)
        } else {
            self.take_down()
        }
    }

    fn load(&mut self, world: &World<'_>, lists: &Arc<RangeList>) -> Action {
        self.lists = Arc::clone(lists);
        if !self.stands {
            // Nothing of ours was there that could stay.
            self.sent = Arc::default();
        }
        let all = [Family::V4, Family::V6].map(AddrRange::all);
        let _ = self.renew_table(&all, world);
        self.stands = true;
        self.structure = self.structure(world);
        self.next_revision();
        self.lists_revision = self.revision;
        self.load_revision = self.revision;
        self.answers_count_from = self.revision;
        self.retry_at = None;
        let mut learned = put_back(world);
        let withheld = self.withheld_elements.iter().filter(|it| {
            world.state.denied_until(it.set, &it.key).is_none_or(|until| until <= world.now)
        });
        learned.extend(withheld.filter_map(|element| element.lasting(world.now)));
        Action::Load(Box::new(Load {
            to: self.revision,
            table: Arc::clone(&self.sent),
            structure: self.structure.clone(),
            lists: Arc::clone(&self.lists),
            trial: trial(world),
            learned,
        }))
    }

    fn next_revision(&mut self) {
        self.revision += 1;
        self.table_revision = self.revision;
    }

    fn take_down(&mut self) -> Action {
        self.stands = false;
        self.sent = Arc::default();
        self.structure = Structure::default();
        self.knocks = Arc::default();
        self.next_revision();
        self.answers_count_from = self.revision;
        self.retry_at = None;
        Action::TakeDown { to: self.revision }
    }

    fn apply(&mut self, structure: Option<Structure>, delta: Delta, world: &World<'_>) -> Action {
        if let Some(structure) = &structure {
            self.structure = structure.clone();
        }
        self.next_revision();
        Action::Apply(Box::new(Apply { to: self.revision, structure, trial: trial(world), delta }))
    }

    fn structure(&mut self, world: &World<'_>) -> Structure {
        self.knocks = self.allowed_knocks(world);
        ruleset::structure_with(world, &self.sent, &self.knocks)
    }

    /// Whether others can knock from now on than before.
    pub(super) fn lacks_knocks(&self, world: &World<'_>) -> bool {
        self.follows() && self.allowed_knocks(world) != self.knocks
    }

    /// Who can knock from now on: while a commit runs, nobody who could not before.
    fn allowed_knocks(&self, world: &World<'_>) -> Arc<Sequences> {
        let wanted = world.state.knocks();
        match self.is_committing && !Arc::ptr_eq(&wanted, &self.knocks) {
            true => Arc::new(wanted.shared_with(&self.knocks)),
            false => wanted,
        }
    }

    fn renew_table(&mut self, touched: &[AddrRange], world: &World<'_>) -> Delta {
        let sent = Arc::make_mut(&mut self.sent);
        sent.renew_except(touched, world.state, world.now, &self.withheld)
    }

    /// The kernel did not take something that was sent. Nothing that follows counts until the whole
    /// table is sent again.
    pub(super) fn refuse(&mut self, error: &str, now: Time) {
        self.answers_count_from = self.revision + 1;
        self.trouble = Some(error.to_owned());
        self.refused = self.refused.saturating_add(1);
        self.retry_at = Some(now.after(retry::pause_after(self.refused)));
    }

    /// The kernel has what was sent. Returns whether it had refused before.
    pub(super) fn accept(&mut self) -> bool {
        (self.trouble, self.retry_at) = (None, None);
        std::mem::take(&mut self.refused) > 0
    }

    /// What was sent, for a copy; `None` if there is no table.
    pub(super) fn sent(&self) -> Option<(&Arc<Table>, &Structure)> {
        self.stands.then_some((&self.sent, &self.structure))
    }
}

/// How long an unconfirmed table is to hold before the kernel opens by itself.
fn trial(world: &World<'_>) -> Option<std::time::Duration> {
    world.state.posture().protection.trial_end().map(|end| end.since(world.now))
}
