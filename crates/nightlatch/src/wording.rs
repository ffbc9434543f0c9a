//! What is said to people: the sentences of the envelope and of the engine. Those of the features are in
//! their folders.

use nightlatch_core::action::Told;
use nightlatch_core::api::{Cause, Done, LockOut, Refusal, RefusalKind};
use nightlatch_core::signalling::LearnedBy;
use nightlatch_core::trouble::Trouble;

use crate::features;
use crate::shell::outcome::{Code, Failure};

/// What a change counts for while the firewall is off.
const COUNTS_WHEN_UP: &str = "the firewall is OFF: this takes effect after \"nightlatch up\"";

/// What was done, one sentence a line.
pub fn done(done: &Done) -> String {
    let said = done.said.iter().filter_map(|reply| features::say(reply, done.changed));
    let hints = done.said.iter().filter_map(features::hint);
    let off = done.waits_for_up.then(|| COUNTS_WHEN_UP.to_owned());
    said.chain(hints).chain(off).collect::<Vec<String>>().join("\n")
}

/// Why something was refused.
pub fn refuse(refusal: &Refusal) -> String {
    match &refusal.why {
        Cause::Feature(refusal) => features::refuse(refusal),
        Cause::LockedOut { origin, by: LockOut::Change } => format!(
            "nothing was changed: this would end your own session from {origin}; allow {origin} in another account first, or add --force"
        ),
        Cause::LockedOut { origin, by: LockOut::Configuration } => format!(
            "nothing was changed: this configuration would lock you out ({origin}); allow {origin} in an account first"
        ),
        Cause::LockedOut { origin, by: LockOut::Up } => format!(
            "nothing was changed: this would end your own session from {origin}; \"nightlatch why {origin}\" shows what blocks it"
        ),
        Cause::LockedOut { origin, by: LockOut::List } => format!(
            "nothing was changed: this would lock you out ({origin}); allow {origin} in an account first, or add --force"
        ),
        Cause::NotWritten { error } => not_written(error),
        Cause::NotRecorded { error } => format!(
            "the change is in effect, but could not be saved: {error}; saving is retried every ten seconds, and until it succeeds a restart of the daemon reverts the change"
        ),
        Cause::NotInKernel { error, again_in } => format!(
            "saved, but not yet applied to the kernel ({error}); retrying now, then every {} seconds",
            again_in.as_secs()
        ),
        Cause::Configuration { error } => error.clone(),
        Cause::Said { what } => what.clone(),
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let code = match refusal.kind {
            RefusalKind::No => Code::No,
            RefusalKind::Wrong => Code::Usage,
            RefusalKind::NotAllowed => Code::NotAllowed,
            RefusalKind::Configuration => Code::Configuration,
            RefusalKind::Failed => Code::Failed,
        };
        let message = refuse(&refusal);
        Failure { code, message, refusal: Some(Box::new(refusal)) }
    }
}

/// What the journal says; nothing where the caller was told no sentence.
pub fn told(told: &Told) -> Option<String> {
    match told {
        Told::Done(caller, it) => {
            let text = done(it);
            let first = text.lines().next()?;
            Some(format!("{caller}: {first}"))
        }
        Told::Notice(it) => Some(features::notice(it)),
        Told::Trouble(it) => Some(trouble(it)),
    }
}

/// What goes wrong in the engine's own work.
pub fn trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NotWritten { error } => not_written(error),
        Trouble::NotRecorded { error } => {
            format!("applied, but not recorded in the audit log: {error}")
        }
        Trouble::AuditGap { error } => format!("the audit log has a gap: {error}"),
        Trouble::DiskSilent { seconds } => format!(
            "the disk has not answered for {seconds} seconds: changes are delayed until it does; what they block is blocked already"
        ),
        Trouble::KernelRefused { error } => {
            format!("the kernel's nftables table does not match the desired state: {error}")
        }
        Trouble::Tampered { by, found } => {
            format!("{by} changed the firewall ({found}); it is being restored")
        }
        Trouble::FlowsNotCut { error } => {
            format!("could not end established connections: {error}")
        }
        Trouble::PeersNotTaught { error } => format!(
            "could not restore known peers: {error}; inbound calls of trunks may be dropped until the PBX registers again"
        ),
        Trouble::PeersNotForgotten { error } => format!(
            "could not remove peers from the kernel: {error}; they stay known until they expire (see \"nightlatch peer list\")"
        ),
        Trouble::PeersNotSaved { error } => format!(
            "could not save the known peers: {error}; after a reboot they are unknown until this host sends to them again"
        ),
    }
}

fn not_written(error: &str) -> String {
    format!("nothing was changed: the change could not be saved: {error}")
}

/// What this host did to make a peer known, in a few words.
pub fn did(by: LearnedBy) -> &'static str {
    match by {
        LearnedBy::Registered => "this host sent a registration there",
        LearnedBy::Called => "this host called it",
        LearnedBy::Asked => "this host sent a request there",
        LearnedBy::RegisteredByTcp => "this host is registered there over TCP",
    }
}
