//! An account that exists changes: entries come and go, its services, its end, its note, its name.
//!
//! Each is one change with one audit record. Whatever an account allowed before and allows still goes on
//! undisturbed.

use std::collections::BTreeSet;
use std::time::Duration;

use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::requests::{MAX_ENTRIES, MAX_NOTE_LEN, SHOWN_ENTRIES};
use super::{Account, AccountName, Accounts, Deed, Entry, Refusal, Reply};
use crate::AddrRange;
use crate::audit::{self, Occurrence};
use crate::entry::{EntryId, apart, uncovered, without_addresses};
use crate::features::{By, Fact, Plan, View};
use crate::hours::{Hours, Within};
use crate::records;
use crate::service::{Catalogue, Grant};
use crate::time::Time;

/// What changes of an account besides its entries; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The services.
    pub services: Option<Grant>,
    /// When it ends by itself.
    pub ends: Option<Ends>,
    /// When it counts.
    #[serde(default)]
    pub within: Option<Within>,
    /// The note.
    pub note: Option<String>,
    /// The name.
    pub rename: Option<AccountName>,
}

/// When something ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// Not by itself.
    Never,
    /// So long after now.
    After(Duration),
    /// Then.
    At(Time),
}

impl Ends {
    /// The moment of the end, which has to lie ahead.
    pub(super) fn until(self, now: Time) -> Result<Option<Time>, Refusal> {
        match self {
            Ends::Never => Ok(None),
            Ends::After(span) => Ok(Some(now.after(span))),
            Ends::At(until) if until <= now => Err(Refusal::Passed { until }),
            Ends::At(until) => Ok(Some(until)),
        }
    }
}

/// An account without its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Its name.
    pub name: AccountName,
    /// The services it allows.
    pub services: Grant,
    /// When it ends by itself.
    pub until: Option<Time>,
    /// The hours during which it counts; always where absent.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// The note.
    pub note: String,
}

impl Terms {
    fn of(account: &Account) -> Terms {
        let Account { name, services, until, hours, note, .. } = account;
        let (name, services, note) = (name.clone(), services.clone(), note.clone());
        Terms { name, services, until: *until, hours: hours.clone(), note }
    }
}

impl Accounts {
    /// Adds entries. Those that are there already stay as they are.
    pub(super) fn add(
        &self,
        name: &AccountName,
        entries: Vec<Entry>,
        view: &View<'_>,
    ) -> Result<Plan<Accounts>, Refusal> {
        let before = self.known(name)?;
        Accounts::check_entries(&entries, view)?;
        let (new, there) = apart(without_addresses(entries), &before.entries);
        if before.entries.len().saturating_add(new.len()) > MAX_ENTRIES {
            return Err(Refusal::TooMany { name: name.clone(), most: MAX_ENTRIES });
        }
        // Whoever answers for a name may answer with any address: not for ssh by accident.
        let host = new.iter().find_map(Entry::host).filter(|_| before.services == Grant::All);
        if let Some(host) = host.filter(|_| !view.force()) {
            return Err(Refusal::HostForAll { name: name.clone(), host: host.clone() });
        }
        let services = before.services.clone();
        let reply = Reply::Added { name: name.clone(), services, entries: new.clone(), there };
        let mut plan = Plan::say(reply);
        if new.is_empty() {
            return Ok(plan);
        }
        plan.effects.facts.push(Fact::Allowed {
            name: name.to_string(),
            services: before.services.clone(),
            ranges: new.iter().flat_map(Entry::ranges).collect(),
        });
        let mut account = before.clone();
        account.entries.extend(new);
        tell_names(&mut plan, Some(before), Some(&account));
        plan.put(name.clone(), account, Deed::Add);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Removes entries, and ends the running flows of addresses that no other entry covers.
    pub(super) fn drop_entries(
        &self,
        name: &AccountName,
        entries: Vec<Entry>,
    ) -> Result<Plan<Accounts>, Refusal> {
        let before = self.known(name)?;
        let (missing, dropped) = apart(entries, &before.entries);
        if !missing.is_empty() {
            let has = before.entries.iter().take(SHOWN_ENTRIES).cloned().collect();
            let count = before.entries.len();
            return Err(Refusal::NotInAccount { name: name.clone(), missing, has, count });
        }
        let gone: BTreeSet<EntryId<'_>> = dropped.iter().map(Entry::id).collect();
        let is_gone = |entry: &Entry| gone.contains(&entry.id());
        let (going, staying): (Vec<&Entry>, Vec<&Entry>) =
            before.entries.iter().partition(|entry| is_gone(entry));
        if staying.is_empty() {
            return Err(Refusal::LastAddress { name: name.clone() });
        }
        let ranges = uncovered(going.iter().copied(), staying.iter().copied());
        let mut closed: RangeList = ranges.iter().copied().collect();
        closed.merge();
        let stays = |entry: &&&Entry| {
            let mut ranges = entry.ranges().peekable();
            ranges.peek().is_some() && ranges.all(|range| closed.first_overlap(&range).is_none())
        };
        let covered = going.iter().filter(stays).map(|entry| (*entry).clone()).collect();
        let mut plan = Plan::say(Reply::Dropped {
            name: name.clone(),
            entries: going.into_iter().cloned().collect(),
            covered,
            left: staying.len(),
        });
        let entries = staying.into_iter().cloned().collect();
        let account = Account { entries, ..before.clone() };
        tell_names(&mut plan, Some(before), Some(&account));
        withdraw(&mut plan, name, ranges);
        plan.put(name.clone(), account, Deed::Drop);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Changes what holds for all entries. What is no longer allowed ends.
    pub(super) fn set(
        &self,
        name: &AccountName,
        edit: Edit,
        view: &View<'_>,
    ) -> Result<Plan<Accounts>, Refusal> {
        let before = self.known(name)?;
        let mut account = before.clone();
        if let Some(services) = edit.services {
            Accounts::check_services(&services, view)?;
            account.services = services;
        }
        if let Some(ends) = edit.ends {
            account.until = ends.until(view.now())?;
        }
        if let Some(within) = edit.within {
            account.hours = within.hours();
        }
        if let Some(note) = edit.note {
            account.note = note.chars().take(MAX_NOTE_LEN).collect();
        }
        if let Some(name) = edit.rename.filter(|name| *name != before.name) {
            if let Some(account) = self.all.get(&name) {
                let account = Box::new(account.clone());
                return Err(Refusal::Exists { account, more: Vec::new() });
            }
            account.name = name;
        }
        let terms = |account: &Account| Box::new(Terms::of(account));
        let reply = Reply::Changed {
            before: terms(before),
            after: terms(&account),
            entries: account.entries.len(),
        };
        let mut plan = Plan::say(reply);
        if account == *before {
            return Ok(plan);
        }
        let ranges: Vec<AddrRange> = account.ranges().collect();
        if account.hours.is_some() && account.hours != before.hours {
            plan.effects.cut_flows_of(&ranges);
        }
        if !is_granted(&before.services, &account.services, view.catalogue()) {
            withdraw(&mut plan, &account.name, ranges);
        } else if !is_granted(&account.services, &before.services, view.catalogue()) {
            let (name, services) = (account.name.to_string(), account.services.clone());
            plan.effects.facts.push(Fact::Allowed { name, services, ranges });
        }
        plan.said.extend(ends_yours(before, &account, view));
        replace(&mut plan, before, account);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }
}

/// Says when the caller loses SSH later, although not at once: by an end, or by hours.
fn ends_yours(before: &Account, after: &Account, view: &View<'_>) -> Option<Reply> {
    if (&after.until, &after.hours) == (&before.until, &before.hours) {
        return None;
    }
    let (origin, now) = (view.caller().origin?, view.now());
    after.range_of(origin)?;
    let hours_end = after.hours.as_ref().filter(|hours| hours.contain(now));
    let hours_end = hours_end.and_then(|hours| hours.next_change(now));
    let at = [hours_end, after.until].into_iter().flatten().min()?;
    let reaches =
        view.reaches_ssh(origin) && !view.reaches_ssh_without(origin, By::Accounts(&before.name));
    let comes_back = after.until.is_none_or(|until| at < until);
    reaches.then_some(Reply::EndsYours { origin, at, comes_back })
}

/// Puts the changed account in the place of the one before, under its new name if it has one: then two
/// records change, and the audit log has one entry for both.
fn replace(plan: &mut Plan<Accounts>, before: &Account, account: Account) {
    if account.name == before.name {
        plan.put(account.name.clone(), account, Deed::Change);
        return;
    }
    let (was, is) = audited(before, &account);
    plan.occurrences.push(Occurrence::new(Deed::Change, &before.name, &was, &is));
    // The new name first, so that a host name is never without a record that has it.
    tell_names(plan, None, Some(&account));
    tell_names(plan, Some(before), None);
    plan.put(account.name.clone(), account, None);
    plan.remove(before.name.clone(), None);
}

/// Ends what an account allowed for these ranges: running flows, and what the PBX would still send there.
fn withdraw(plan: &mut Plan<Accounts>, name: &AccountName, ranges: Vec<AddrRange>) {
    if !ranges.is_empty() {
        plan.effects.cut_flows_of(&ranges);
        plan.effects.facts.push(Fact::Withdrawn { name: name.to_string(), ranges });
    }
}

/// Says which host names an account has from now on, if it had others before.
pub(super) fn tell_names(
    plan: &mut Plan<Accounts>,
    before: Option<&Account>,
    after: Option<&Account>,
) {
    let of = |account: Option<&Account>| account.and_then(Account::host_names);
    let (had, has) = (of(before), of(after));
    if had == has {
        return;
    }
    let gone = || before.and_then(Account::no_host_names);
    plan.effects.facts.extend(has.or_else(gone));
}

/// Whether other services include all of these, with what they bring.
fn is_granted(services: &Grant, by: &Grant, catalogue: &Catalogue) -> bool {
    match (services, by) {
        (_, Grant::All) => true,
        (Grant::All, Grant::Some(_)) => false,
        (Grant::Some(names), Grant::Some(others)) => {
            catalogue.with_brought(&**names).is_subset(&catalogue.with_brought(&**others))
        }
    }
}

/// What the audit log keeps of a change: of a long account, only the entries that the other one does not
/// have, and how many are the same in both.
pub(super) fn audited(before: &Account, after: &Account) -> (Value, Value) {
    fn sorted(account: &Account) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = account.entries.iter().collect();
        entries.sort_unstable();
        entries
    }
    let (had, has) = (sorted(before), sorted(after));
    let same = had.iter().filter(|entry| has.binary_search(entry).is_ok()).count();
    let shortened = |account: &Account, others: &[&Entry]| {
        let differs = |entry: &&Entry| others.binary_search(entry).is_err();
        let entries = account.entries.iter().filter(differs).cloned().collect();
        let mut value = audit::value(&Account { entries, ..account.clone() });
        if let Value::Object(fields) = &mut value {
            fields.insert(UNCHANGED.to_owned(), same.into());
        }
        value
    };
    (shortened(before, &has), shortened(after, &had))
}

/// The field of the audit log that says how many entries did not change.
pub const UNCHANGED: &str = "unchanged_entries";

/// The ranges in which claims may be others after an account has changed.
pub(super) fn touched(before: &Account, after: &Account) -> Vec<AddrRange> {
    // Without "..", so that whoever adds a field decides whether claims follow from it.
    let says = |account: &Account| {
        let Account {
            name,
            services,
            until,
            hours,
            entries: _,
            note: _,
            allow_private: _,
            since: _,
            by: _,
        } = account;
        (name.clone(), services.clone(), *until, hours.clone())
    };
    if says(before) == says(after) {
        return records::differing(before, after);
    }
    before.ranges().chain(after.ranges()).collect()
}
