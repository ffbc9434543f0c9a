//! What has loaded chains and rules is answered once it is certain that the kernel has them, and what was sent
//! later waits for that: all but the kernel's reports, which tell it, and what is urgent.

use std::sync::Arc;
use std::time::Duration;

use nightlatch_core::action::Revision;
use nightlatch_core::attribution::Program;
use nightlatch_core::event::Event;
use nightlatch_parse::ranges::RangeList;

use super::{Exchanging, Job, Stage, Worker, warn};
use crate::shell::firewall::{Loaded, Tampering};

/// What has loaded chains and rules.
pub(super) enum Unanswered {
    Apply { to: Revision },
    Load { to: Revision, lists: Arc<RangeList>, loaded: Loaded },
    Exchange,
    Publish,
}

impl Job {
    /// Whether it waits until it is certain that the kernel has the chains and rules that were loaded last.
    pub(super) fn can_wait(&self) -> bool {
        !matches!(self, Job::Heard(_) | Job::Urgent)
    }
}

impl Worker {
    /// Answers what may have loaded chains and rules: once it is certain that the kernel has them.
    pub(super) fn finish(&mut self, done: Unanswered, result: Result<(), String>) {
        if result.is_ok() && self.firewall.is_unproven() {
            self.unanswered = Some(done);
        } else {
            self.answer(done, result);
        }
    }

    fn answer(&mut self, done: Unanswered, result: Result<(), String>) {
        match (done, result) {
            (Unanswered::Load { to, lists, loaded }, Ok(())) => self.loaded(to, lists, loaded),
            (Unanswered::Apply { to } | Unanswered::Load { to, .. }, result) => {
                self.tell(Event::Applied { to, result });
            }
            (Unanswered::Exchange, result) => self.end_exchange(result),
            (Unanswered::Publish, Ok(())) => {}
            (Unanswered::Publish, Err(error)) => warn(
                "could not load the published container ports into the kernel",
                &error,
                "; peers of containers may stay unknown",
            ),
        }
    }

    fn loaded(&mut self, to: Revision, lists: Arc<RangeList>, loaded: Loaded) {
        let Loaded { lists_stand, put_back } = loaded;
        self.tell(Event::Applied { to, result: Ok(()) });
        if put_back.is_err() {
            self.tell(Event::Taught(put_back));
        }
        if lists_stand {
            self.tell(Event::ListsExchanged { to, result: Ok(()) });
        } else {
            self.exchanges.push_back(Exchanging { to, lists, stage: Stage::Waiting });
        }
    }

    /// What was held and goes on now, and how long to wait for something else.
    pub(super) fn next_held(&mut self) -> (Option<Job>, Option<Duration>) {
        let held = if self.unanswered.is_none() { self.held.pop_front() } else { None };
        (held, self.patience())
    }

    /// Does what is due where no report came in time.
    pub(super) fn time_passed(&mut self) {
        let followed = self.firewall.time_passed(self.reports_are_suspended());
        self.follow(followed);
    }

    /// Does what follows from a report, or from time that has passed without one.
    pub(super) fn follow(&mut self, followed: Result<Option<Tampering>, String>) {
        let (tampering, failure) = match followed {
            Ok(tampering) => (tampering, None),
            Err(error) => (None, Some(error)),
        };
        if !self.firewall.is_unproven()
            && let Some(done) = self.unanswered.take()
        {
            self.answer(done, failure.map_or(Ok(()), Err));
        }
        if let Some(Tampering { by, found }) = tampering {
            self.tell(Event::Tampered { by: by_whom(by), found });
        }
    }
}

/// A program, as the kernel names it.
fn by_whom(program: Option<Program>) -> String {
    match program {
        None => "an unknown program".to_owned(),
        Some(Program { name, process: None }) => name,
        Some(Program { name, process: Some(process) }) => format!("{name} (process {process})"),
    }
}
