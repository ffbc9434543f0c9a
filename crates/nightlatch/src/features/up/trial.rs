//! The minute after `up`: waiting for the confirmation, and seeing to it that without one
//! everything is taken back, whoever was killed meanwhile.

use std::time::Duration;

use nightlatch_core::api::{Caller, Reply, Request};
use nightlatch_core::ledger::{Mode, Protection};
use nightlatch_core::time::Time;

use crate::run;
use crate::shell::clock::Stopwatch;
use crate::shell::outcome::{Code, Failure};
use crate::shell::paths::Paths;
use crate::shell::{caller, client, clock, screen};

/// How long `up` waits for a confirmation.
pub(super) const LASTS: Duration = Duration::from_secs(60);
/// How much later than the daemon the guard acts: it is there only in case that is gone.
const GRACE: Duration = Duration::from_secs(2);

/// How a trial stands.
pub(super) enum Standing {
    /// Not decided yet; until when.
    Open(Time),
    /// The firewall is up to stay, in this mode.
    Kept(Mode),
    /// The firewall is off.
    TakenBack,
}

/// Waits on the screen until the trial is decided.
pub(super) fn watch(paths: &Paths, lasts: Duration) -> Result<(), Failure> {
    screen::say("");
    screen::say(
        "The firewall is up, ON TRIAL. Open a NEW connection to this machine now and run there:",
    );
    screen::say("    nightlatch confirm");
    screen::say(format!(
        "If you cannot get in, wait: in {} seconds everything is taken back by itself.",
        lasts.as_secs()
    ));
    // Taken back, a change of the mode leaves the firewall up in the mode before.
    let tried = super::io::stored_ledger(paths)?.mode;
    loop {
        let standing = standing(paths)?;
        if !matches!(standing, Standing::Open(_)) {
            // Decided is what is written down; whoever asks now is answered once it is done.
            let _ = client::ask(paths, Request::Services);
        }
        match standing {
            Standing::Open(until) => {
                let left = until.since(clock::now()).as_secs();
                screen::progress(&format!("taken back in {left} s "));
                std::thread::sleep(Duration::from_millis(500));
            }
            Standing::Kept(mode) if mode == tried => {
                screen::say("\nConfirmed: the firewall stays.");
                return Ok(());
            }
            Standing::Kept(_) | Standing::TakenBack => {
                return Err(Failure::no(
                    "not confirmed: everything was taken back, as it was before",
                ));
            }
        }
    }
}

fn standing(paths: &Paths) -> Result<Standing, Failure> {
    let ledger = super::io::stored_ledger(paths)?;
    Ok(match ledger.protection {
        Protection::Trial { until, .. } => Standing::Open(until),
        Protection::On { .. } => Standing::Kept(ledger.mode),
        Protection::Off => Standing::TakenBack,
    })
}

/// Runs beside the daemon until the trial is decided. If nobody has taken it back when its time is
/// up (the daemon was killed), does it.
///
/// # Errors
/// The database or the kernel fails.
pub(super) fn guard(paths: &Paths) -> Result<(), Failure> {
    let mut watched = None;
    loop {
        let Standing::Open(until) = standing(paths)? else { return Ok(()) };
        // Measured, since the wall clock may be set back; from the start where it begins anew.
        if watched.is_none_or(|(known, _, _)| known != until) {
            watched = Some((until, until.since(clock::now()), Stopwatch::start()));
        }
        if watched.is_some_and(|(_, left, watch)| watch.elapsed() > left + GRACE) {
            // Either way the trial has ended; what is left is to know that it did.
            return match ask_or_do(paths, Request::Rollback) {
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
pub(super) fn ask_or_do(paths: &Paths, request: Request) -> Result<String, Failure> {
    match client::change(paths, request.clone()) {
        Err(failure) if failure.code == Code::NotRunning => {
            caller::require_root()?;
            match run::once(
                paths,
                Caller { user: "root".to_owned(), ..Caller::default() },
                request,
            )? {
                Reply::Done { message } => Ok(message),
                Reply::Refused(refusal) => Err(refusal.into()),
                other => Err(Failure::failed(format!("unfitting answer: {other:?}"))),
            }
        }
        answered => answered,
    }
}

/// Whether a trial is on.
///
/// # Errors
/// The database cannot be read.
pub(super) fn standing_now(paths: &Paths) -> Result<bool, Failure> {
    Ok(matches!(standing(paths)?, Standing::Open(_)))
}
