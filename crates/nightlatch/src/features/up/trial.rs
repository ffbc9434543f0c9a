//! The minute after `up`: waiting for the confirmation, and seeing to it that without one
//! everything is taken back, whoever was killed meanwhile.

use std::time::Duration;

use nightlatch_core::api::{Caller, Done, Request};
use nightlatch_core::features::{self, firewall};
use nightlatch_core::posture::{Mode, Protection};

use crate::run;
use crate::shell::clock::Stopwatch;
use crate::shell::outcome::{Code, Failure};
use crate::shell::paths::Paths;
use crate::shell::{caller, client, clock, screen};

/// How long `up` waits for a confirmation.
pub(super) const LASTS: Duration = Duration::from_secs(60);
/// How much later than the daemon the guard acts: it is there only in case that is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Whether the firewall is up, on trial or off, and what strangers meet.
type Standing = (Protection, Mode);

/// Waits on the screen until the trial of a mode is decided.
pub(super) fn watch(paths: &Paths, lasts: Duration, tried: Mode) -> Result<(), Failure> {
    screen::say("");
    screen::say(
        "The firewall is active, ON TRIAL. Open a NEW connection to this machine now and run there:",
    );
    screen::say("    nightlatch confirm");
    screen::say(format!(
        "If you are locked out, wait: in {} seconds everything is rolled back automatically.",
        lasts.as_secs()
    ));
    loop {
        match standing(paths)? {
            (Protection::Trial { until, .. }, _) => {
                let left = until.since(clock::now()).as_secs();
                screen::progress(&format!("rolled back in {left} s "));
                std::thread::sleep(Duration::from_millis(500));
            }
            // Taken back, a change of the mode leaves the firewall up in the mode before.
            (Protection::On { .. }, mode) if mode == tried => {
                screen::say("\nConfirmed: the firewall stays active.");
                return Ok(());
            }
            (Protection::On { .. } | Protection::Off, _) => {
                return Err(Failure::no(
                    "not confirmed: everything was rolled back to the state before",
                ));
            }
        }
    }
}

/// Asks the daemon, and reads the database only where no daemon answers.
fn standing(paths: &Paths) -> Result<Standing, Failure> {
    let asked = client::change(paths, Request::of(firewall::Request::Protection));
    let said = asked.map(|done| done.said).unwrap_or_default();
    let standing = said.into_iter().find_map(|reply| match reply {
        features::Reply::Firewall(firewall::Reply::Protection { protection, mode }) => {
            Some((protection, mode))
        }
        _ => None,
    });
    if let Some(standing) = standing {
        return Ok(standing);
    }
    let state = super::io::stored(paths)?;
    Ok((state.posture().protection.clone(), state.posture().mode))
}

/// Runs beside the daemon until the trial is decided. If nobody has taken it back when its time is
/// up (the daemon was killed), does it.
///
/// # Errors
/// The database or the kernel fails.
pub(super) fn guard(paths: &Paths) -> Result<(), Failure> {
    let mut watched = None;
    loop {
        let Some(until) = standing(paths)?.0.trial_end() else { return Ok(()) };
        // Measured, since the wall clock may be set back; from the start where it begins anew.
        if watched.is_none_or(|(known, _, _)| known != until) {
            watched = Some((until, until.since(clock::now()), Stopwatch::start()));
        }
        if watched.is_some_and(|(_, left, watch)| watch.elapsed() > left + GRACE) {
            // Either way the trial has ended; what is left is to know that it did.
            return match ask_or_do(paths, Request::of(firewall::Request::Rollback)) {
                Err(failure) if failure.code != Code::No => Err(failure),
                _ => Ok(()),
            };
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Asks the daemon, and where there is none does it here: whatever has died, the firewall can be
/// confirmed, taken back and taken off.
///
/// # Errors
/// Refused, or the database or the kernel fails.
pub(super) fn ask_or_do(paths: &Paths, request: Request) -> Result<Done, Failure> {
    match client::change(paths, request.clone()) {
        Err(failure) if failure.code == Code::NotRunning => {
            caller::require_root()?;
            let caller = Caller { user: "root".to_owned(), ..Caller::default() };
            let takes_down = request == Request::of(firewall::Request::Down);
            client::done(run::once(paths, caller, request, takes_down)?)
        }
        answered => answered,
    }
}

/// Whether a trial is on.
///
/// # Errors
/// No daemon answers, and the database cannot be read.
pub(super) fn is_on(paths: &Paths) -> Result<bool, Failure> {
    Ok(standing(paths)?.0.trial_end().is_some())
}
