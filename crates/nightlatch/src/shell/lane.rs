//! Threads without which the daemon is of no use.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nightlatch_core::action::Level;

use super::journal;

/// Runs `work` in a thread. If it panics, the whole daemon ends, so that it is started again: with one
/// lane missing, it would wait for ever. The firewall stays as it is.
pub fn begin(name: &'static str, work: impl FnOnce() + Send + 'static) {
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            let message = format!("the {name} lane has failed; the daemon exits");
            journal::tell(Level::Error, &message);
            std::process::exit(1);
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(guarded);
    if let Err(error) = thread {
        journal::tell(Level::Error, &format!("the {name} lane cannot start: {error}"));
        std::process::exit(1);
    }
}
