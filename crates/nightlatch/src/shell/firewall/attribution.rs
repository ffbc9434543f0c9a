//! What the kernel reports of changes, and what a look at the table finds, for
//! [`Attribution`](nightlatch_core::attribution), which decides what follows.

use std::time::Duration;

use nightlatch_core::attribution::{
    Action, Attribution, Author, Count, Look, Program, Report, Touches,
};
use nightlatch_core::ruleset::{ListSet, TABLE};
use nightlatch_netfilter::{Change, Monitor, Netlink, NetlinkError};

use super::loads::{Content, Standing};
use super::{Firewall, elements, lists};

/// What another program has done to the table.
#[derive(Debug)]
pub struct Tampering {
    /// Who it was; `None` if that is not known.
    pub by: Option<Program>,
    /// What was found.
    pub found: String,
}

impl Firewall {
    /// Follows the kernel's report of a change. Returns what another program has done, if the table is to be restored.
    ///
    /// # Errors
    /// A load of which it was not certain that the kernel has what was loaded has failed. A whole load must follow.
    pub fn hear(&mut self, change: &Change) -> Result<Option<Tampering>, String> {
        let now = self.began.elapsed();
        let Some(standing) = &mut self.standing else { return Ok(None) };
        let report = report(change, &self.netlink, &standing.content);
        let actions = standing.attribution.reported(report, now);
        self.carry_out(actions)
    }

    /// Does what is due when nothing was reported for a while. `is_suspended`: whether reports are suspended.
    ///
    /// # Errors
    /// As [`Firewall::hear`].
    pub fn time_passed(&mut self, is_suspended: bool) -> Result<Option<Tampering>, String> {
        let now = self.began.elapsed();
        let Some(standing) = &mut self.standing else { return Ok(None) };
        let actions = standing.attribution.time_passed(is_suspended, now);
        self.carry_out(actions)
    }

    /// How long to wait for [`Firewall::time_passed`]; `None` if there is nothing to wait for.
    pub fn patience(&self, is_suspended: bool) -> Option<Duration> {
        let deadline = self.standing.as_ref()?.attribution.deadline(is_suspended)?;
        Some(deadline.saturating_sub(self.began.elapsed()))
    }

    /// Looks whether the table is as it was loaded. Returns whether it is doubtful: then the program that changed it
    /// is still to be named, or the table is about to be restored.
    pub fn is_doubtful(&mut self) -> bool {
        let look = self.standing.as_ref().and_then(|standing| standing.attribution.look_due());
        if let Some(look) = look {
            // A regular look leaves it to the reports to name the program.
            let _ = self.look(look);
        }
        self.standing.as_ref().is_some_and(|standing| standing.attribution.is_doubtful())
    }

    /// Whether it is not certain yet that the kernel has the chains and rules that were loaded: then
    /// [`Firewall::hear`] and [`Firewall::time_passed`] are to be called until it is.
    pub fn is_unproven(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.attribution.is_unproven())
    }

    /// Where nobody else hands on reports: makes certain that the kernel has what was loaded.
    pub(super) fn prove(&mut self) -> Result<(), String> {
        let mut monitor = None;
        while self.is_unproven() {
            let Some(listening) = &mut monitor else {
                // Nobody has listened so far.
                monitor = Some(Monitor::open().map_err(|error| error.to_string())?);
                self.load_again()?;
                continue;
            };
            let patience = self.patience(false).unwrap_or_default();
            match listening.next(patience).map_err(|error| error.to_string())? {
                Some(change) => self.hear(&change)?,
                None => self.time_passed(false)?,
            };
        }
        Ok(())
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<Option<Tampering>, String> {
        let mut tampering = None;
        for action in actions {
            match action {
                Action::LoadAgain => self.load_again()?,
                Action::GiveUp => {
                    self.standing = None;
                    return Err("the table is loaded, but another program keeps changing it, so it is unknown whose rules are active".to_owned());
                }
                Action::Look(look) => tampering = self.look(look),
            }
        }
        Ok(tampering)
    }

    fn look(&mut self, look: Look) -> Option<Tampering> {
        let Firewall { netlink, standing, began, .. } = self;
        let standing = standing.as_mut()?;
        let count = count(netlink).ok()?;
        let found = match standing.attribution.needs_reading(&look, count.generation) {
            true => find(netlink, standing, &look),
            false => None,
        };
        let is_changed = found.is_some();
        let restore = standing.attribution.looked(look, count, is_changed, began.elapsed());
        self.note_lists();
        Some(Tampering { by: restore?.by, found: found? })
    }
}

/// The kernel's count of changes, and ours.
pub(super) fn count(netlink: &mut Netlink) -> Result<Count, String> {
    let generation = netlink.generation().map_err(|error: NetlinkError| error.to_string())?;
    Ok(Count { generation, own: netlink.own_changes() })
}

/// Counts what we have just changed as ours. Returns whether the kernel has counted nothing else.
pub(super) fn acknowledge(
    attribution: &mut Attribution,
    netlink: &mut Netlink,
) -> Result<bool, String> {
    Ok(attribution.acknowledged(count(netlink)?))
}

/// What a look finds that is not as it was loaded.
fn find(netlink: &mut Netlink, standing: &Standing, look: &Look) -> Option<String> {
    match netlink.structure(TABLE) {
        Ok(None) => return Some("the table was removed".to_owned()),
        Ok(Some(found)) if found.digest != standing.structure.digest => {
            return Some("its rules were changed".to_owned());
        }
        Ok(Some(_)) => {}
        Err(error) => return Some(format!("the table cannot be read: {error}")),
    }
    if !elements::all_match(netlink, standing.elements) {
        return Some("its lists were changed".to_owned());
    }
    let lists_match = match &standing.content {
        Content::Stands(in_force) => lists::samples_match(netlink, &standing.list_sets, in_force),
        // While they are being exchanged, nothing can be said of them.
        Content::Empty | Content::Unknown => true,
    };
    let is_wrong = look.lists_changed || !lists_match;
    is_wrong.then(|| "its long lists may have been changed".to_owned())
}

/// The kernel's report of a change, as far as it concerns our table.
fn report(change: &Change, netlink: &Netlink, content: &Content) -> Report {
    let author = if change.port == Some(netlink.port()) {
        Author::Us
    } else if netlink.has_made(change) {
        Author::OurProgram
    } else {
        Author::Other(Program { name: change.program.clone(), process: change.process_id })
    };
    let touches = if !change.touches(TABLE) {
        Touches::Nothing
    } else if change.touches_more(TABLE, ListSet::is_name_of_one) {
        Touches::ListsOrRules
    } else {
        Touches::Elements
    };
    Report {
        generation: change.generation,
        author,
        touches,
        is_incomplete: change.lost,
        has_lists: !matches!(content, Content::Stands(lists) if lists.is_empty()),
    }
}
