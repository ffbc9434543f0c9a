//! Who changed the kernel's table, and what follows: a state machine without I/O or clock.
//!
//! The kernel counts every change of any ruleset in the network namespace (its *generation*), and reports each one
//! with the program that made it, in order, but later, and not always. So three things are compared:
//!
//! - **The count.** If it has grown by exactly as many changes as we have made, nobody else has changed anything.
//! - **Reports.** A report that is complete names who made a change and which table it was in. Since reports come in
//!   order and each has the number of its change, it shows if some were lost.
//! - **Looks.** The table is read and compared with what was loaded. A look finds out that something was changed, but
//!   not by whom.
//!
//! Nothing here waits: [`Attribution::deadline`] says when [`Attribution::time_passed`] must be called.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// How often chains and rules are loaded until it is certain that the kernel has what was loaded.
pub const MAX_LOADS: u32 = 5;
/// How long the kernel's report of a change, which names the program, is waited for if a look has found the change
/// before it came.
pub const REPORT_TIMEOUT: Duration = Duration::from_millis(300);
/// The same while lists are sent: reports are suspended then.
pub const SUSPENDED_REPORT_TIMEOUT: Duration = Duration::from_millis(10);
/// How long after the last report the next one is waited for which shows what a load was mixed with.
pub const PROOF_TIMEOUT: Duration = Duration::from_millis(200);

/// What is known about the changes of our table.
///
/// Every moment (`now`) is the time since some fixed moment, by a clock that is never set.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// Up to here, everything was found to be as we made it. `own` may be too high, never too low.
    known: Count,
    /// Reports of later generations count as changes of the long lists. At first the generation before these were
    /// loaded, then up to where they are known to be unchanged, by the count or by reports.
    lists: u32,
    /// Whether they are known by the count up to `known`. A look takes only samples of long lists, so after a
    /// look they are not.
    lists_by_count: bool,
    unproven: Option<Unproven>,
    /// How many times in a row chains and rules were loaded without proof.
    loads: u32,
    /// Since when the table is known to be changed while nothing has told who did it.
    doubt: Option<Duration>,
    /// Whether a change was attributed, so that the table is going to be loaded anew. Until then nothing follows
    /// from further changes.
    is_restoring: bool,
}

/// The kernel's count of changes, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The kernel's: it may wrap around.
    pub generation: u32,
    /// How many changes we have made ourselves. It may wrap around.
    pub own: u32,
}

/// A load of chains and rules of which it is not certain that what was read behind it is what was loaded.
#[derive(Clone, Copy, Debug)]
struct Unproven {
    /// The generation before the load.
    before: u32,
    /// The generation at which the result was read.
    read_at: u32,
    /// How many of the changes from the one to the other were reported.
    reported: u32,
    /// The last moment at which a report came.
    heard: Duration,
}

/// A program, as the kernel names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The first 15 bytes of its name; empty if unknown.
    pub name: String,
    /// The number of its process; `None` if unknown.
    pub process: Option<u32>,
}

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// This process, by its own socket.
    Us,
    /// A program that we ran, as far as the number of its process shows. Numbers are used again, so the table is
    /// looked at all the same; but it is never named as another program.
    OurProgram,
    /// Another program.
    Other(Program),
}

/// What of our table a change may have touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touches {
    /// Nothing: it was made in other tables.
    Nothing,
    /// Elements of sets other than the long lists. A look finds these changes.
    Elements,
    /// Possibly more: chains, rules, or long lists, of which a look takes only samples.
    ListsOrRules,
}

/// The kernel's report of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The generation that came of it; `None` if it was lost.
    pub generation: Option<u32>,
    /// Who made it.
    pub author: Author,
    /// What it touched, if nothing was lost.
    pub touches: Touches,
    /// Whether part of it, or earlier reports, were lost.
    pub is_incomplete: bool,
    /// Whether there are long lists in the table, or may be.
    pub has_lists: bool,
}

/// A look at the table: to be made, and to be answered by [`Attribution::looked`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Look {
    /// The report from which it follows; `None` for a regular look.
    pub report: Option<Report>,
    /// Whether another program has changed chains, rules or long lists for certain, so that the lists are to be
    /// loaded anew whatever is found.
    pub lists_changed: bool,
    /// Whether no further report is waited for.
    is_final: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Chains and rules are to be loaded once more, and [`Attribution::loaded`] called: another program has, or may
    /// have, changed them between the load and the reading.
    LoadAgain,
    /// The load has failed: another program changes the table all the time.
    GiveUp,
    /// The table is to be looked at.
    Look(Look),
}

/// The table is to be loaded whole, because another program has changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Restore {
    /// Who it was; `None` if that is not known.
    pub by: Option<Program>,
}

impl Attribution {
    /// Begins where the table is about to be loaded whole. `now` is counted before anything is done, so that what
    /// others do meanwhile is not taken for ours.
    pub fn new(now: Count) -> Attribution {
        Attribution {
            known: now,
            lists: now.generation,
            lists_by_count: true,
            unproven: None,
            loads: 0,
            doubt: None,
            is_restoring: false,
        }
    }

    /// The generation up to which everything was found to be as we made it.
    pub fn known_up_to(&self) -> u32 {
        self.known.generation
    }

    /// Whether the table was changed, or may have been: it will be restored, or looked at again.
    pub fn is_doubtful(&self) -> bool {
        self.is_restoring || self.doubt.is_some()
    }

    /// Whether it is not certain yet that the kernel has the chains and rules that were loaded last.
    pub fn is_unproven(&self) -> bool {
        self.unproven.is_some()
    }

    /// We have made changes, and the kernel has acknowledged them. Returns whether it has counted no others since
    /// what is known; otherwise what was known before is all that is known now, and the report of the other
    /// change tells more.
    pub fn acknowledged(&mut self, now: Count) -> bool {
        let changes = now.generation.wrapping_sub(self.known.generation);
        let alone = changes <= now.own.wrapping_sub(self.known.own);
        if alone {
            self.known = now;
            if self.lists_by_count {
                // Here it does not matter whether our own programs are recognized.
                self.lists = now.generation;
            }
        }
        alone
    }

    /// We have loaded chains and rules in one transaction, and have read the result. `before` is the generation
    /// before that, `read_at` the one at which it was read. If the kernel has counted one change, that was the load.
    /// Otherwise reports must show that all others were made in other tables.
    pub fn loaded(&mut self, before: u32, read_at: u32, now: Duration) {
        if read_at == before.wrapping_add(1) {
            self.is_proven();
        } else {
            self.unproven = Some(Unproven { before, read_at, reported: 0, heard: now });
        }
    }

    /// The kernel has reported a change.
    pub fn reported(&mut self, report: Report, now: Duration) -> Vec<Action> {
        let mut actions: Vec<Action> = self.examine_load(&report, now).into_iter().collect();
        if !self.is_restoring {
            actions.extend(self.follow(report).map(Action::Look));
        }
        actions
    }

    /// A regular look is due, or wanted; `None` if the table is going to be restored anyway.
    pub fn look_due(&self) -> Option<Look> {
        (!self.is_restoring).then_some(Look { report: None, lists_changed: false, is_final: false })
    }

    /// Whether a look must read anything at that generation.
    pub fn needs_reading(&self, look: &Look, generation: u32) -> bool {
        look.lists_changed || generation != self.known.generation
    }

    /// The table was looked at. `count` was taken before it was read; `is_changed`: it is not what was loaded.
    pub fn looked(
        &mut self,
        look: Look,
        count: Count,
        is_changed: bool,
        now: Duration,
    ) -> Option<Restore> {
        if is_changed || look.lists_changed {
            return self.found_changed(look, now);
        }
        self.doubt = None;
        if count.generation == self.known.generation {
            return None;
        }
        // A change that came later than the reported one is reported by itself.
        let told = look.report.as_ref().and_then(|report| report.generation);
        let up_to = match told {
            None => Some(count.generation),
            Some(told) => is_after(told, self.known.generation).then_some(told),
        };
        if let Some(generation) = up_to {
            self.known = Count { generation, ..count };
            self.lists_by_count = false;
        }
        None
    }

    /// The latest moment at which [`Attribution::time_passed`] must be called; `None` if nothing is waited for.
    /// `is_suspended`: whether reports are suspended, because lists are sent.
    pub fn deadline(&self, is_suspended: bool) -> Option<Duration> {
        let timeout = if is_suspended { SUSPENDED_REPORT_TIMEOUT } else { REPORT_TIMEOUT };
        let doubt = self.doubt.map(|since| since.saturating_add(timeout));
        let proof = self.unproven.map(|load| load.heard.saturating_add(PROOF_TIMEOUT));
        doubt.into_iter().chain(proof).min()
    }

    /// Time has passed, and nothing was reported meanwhile.
    pub fn time_passed(&mut self, is_suspended: bool, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.unproven.is_some_and(|load| load.heard.saturating_add(PROOF_TIMEOUT) <= now) {
            actions.push(self.load_again());
        }
        let timeout = if is_suspended { SUSPENDED_REPORT_TIMEOUT } else { REPORT_TIMEOUT };
        if self.doubt.is_some_and(|since| since.saturating_add(timeout) <= now) {
            self.doubt = None;
            let look = self.look_due().map(|look| Look { is_final: true, ..look });
            actions.extend(look.map(Action::Look));
        }
        actions
    }

    /// What a report tells about a load that is not proven yet.
    fn examine_load(&mut self, report: &Report, now: Duration) -> Option<Action> {
        let load = self.unproven.as_mut()?;
        load.heard = now;
        let Some(told) = report.generation.filter(|_| !report.is_incomplete) else {
            return Some(self.load_again());
        };
        if !is_after(told, load.before) {
            return None;
        }
        if !is_after(told, load.read_at) {
            load.reported += 1;
            let is_foreign = matches!(report.author, Author::Other(_));
            if is_foreign && report.touches == Touches::ListsOrRules {
                return Some(self.load_again());
            }
        }
        // Reports come in order, but the kernel drops some without a word after it has said once that it does.
        if is_after(load.read_at, told) {
            return None;
        }
        if load.reported < load.read_at.wrapping_sub(load.before) {
            return Some(self.load_again());
        }
        self.is_proven();
        None
    }

    fn load_again(&mut self) -> Action {
        self.unproven = None;
        self.loads += 1;
        if self.loads < MAX_LOADS {
            return Action::LoadAgain;
        }
        self.loads = 0;
        Action::GiveUp
    }

    fn is_proven(&mut self) {
        self.unproven = None;
        self.loads = 0;
    }

    /// What follows from a report for the table as it was known before.
    fn follow(&mut self, report: Report) -> Option<Look> {
        let known = self.known.generation;
        let is_complete = !report.is_incomplete;
        let is_after_lists = report.generation.is_none_or(|told| is_after(told, self.lists));
        if is_after_lists {
            self.lists = report.generation.unwrap_or(self.lists);
        }
        let lists_changed = is_complete
            && is_after_lists
            && report.has_lists
            && report.touches == Touches::ListsOrRules
            && matches!(report.author, Author::Other(_));
        if is_complete && report.touches == Touches::Nothing {
            return None;
        }
        // What we did ourselves, or what had been done when the table was found to be ours, needs no look: what
        // another did since then is reported by itself.
        let is_old = report.generation.is_some_and(|told| !is_after(told, known));
        let is_ours = report.generation.is_some() && report.author == Author::Us;
        if is_complete && !lists_changed && (is_ours || is_old) {
            return None;
        }
        Some(Look { report: Some(report), lists_changed, is_final: false })
    }

    fn found_changed(&mut self, look: Look, now: Duration) -> Option<Restore> {
        let by = match look.report.map(|report| report.author) {
            Some(Author::Other(program)) => Some(program).filter(Program::is_known),
            // Our own report says only that there was something to look at.
            Some(Author::Us | Author::OurProgram) | None if !look.is_final => {
                self.doubt.get_or_insert(now);
                return None;
            }
            _ => None,
        };
        (self.doubt, self.is_restoring) = (None, true);
        Some(Restore { by })
    }
}

impl Program {
    /// Whether anything is known about it.
    fn is_known(&self) -> bool {
        self.process.is_some() || !self.name.is_empty()
    }
}

/// Whether a generation came after another one; the kernel's count may wrap around.
fn is_after(generation: u32, earlier: u32) -> bool {
    generation.wrapping_sub(earlier).cast_signed() > 0
}
