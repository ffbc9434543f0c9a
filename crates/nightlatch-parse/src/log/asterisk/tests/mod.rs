//! Genuine lines, and what hostile ones must never do.

mod ami;
mod genuine;
mod hostile;
mod messages;
mod security;

use super::*;
use crate::log::{Attempt, Doubt, Proof, Service};

/// A reading in one line, to be compared with.
pub(super) fn shown(reading: &Reading<'_>) -> String {
    match reading {
        Reading::Attempt(attempt) => attempted(attempt),
        Reading::Doubtful(doubt) => doubted(doubt),
    }
}

fn attempted(attempt: &Attempt<'_>) -> String {
    let mut text = format!("{:?} {:?}", attempt.outcome, attempt.proof);
    text += &format!(" {:?} {}", attempt.service, attempt.source);
    text += &attempt.port.map_or(String::new(), |port| format!(" {port}"));
    let fields = [("account", attempt.account), ("dialled", attempt.dialled)];
    for (name, value) in fields.into_iter().chain([("session", attempt.session)]) {
        if let Some(value) = value {
            text += &format!(" {name}=[{}]", value.escape_ascii());
        }
    }
    text
}

fn doubted(doubt: &Doubt<'_>) -> String {
    format!("Doubtful {:?} {:?}", doubt.service, doubt.sources)
}
