//! What is shown of the host names of a new account.

use std::time::Duration;

use nightlatch_core::features::accounts::{AccountName, Entry};

use super::cli::shown;
use crate::features::context::Context;
use crate::shell::clock::Stopwatch;
use crate::shell::screen;

/// How long a person waits for the addresses.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is asked whether they are there.
const STEP: Duration = Duration::from_millis(50);

/// Shows the addresses of an account's host names as soon as all are known, or says which are not. The
/// account is open anyway, so nothing here fails.
pub(super) fn show(context: &Context, name: &AccountName) {
    let watch = Stopwatch::start();
    loop {
        let Ok(account) = shown(context, name) else { return };
        let hosts = account.entries.iter().filter(|entry| entry.host().is_some());
        let is_open = |entry: &&Entry| entry.ranges().next().is_none();
        let is_over = watch.elapsed() >= TIMEOUT;
        if !is_over && hosts.clone().any(|entry| is_open(&entry)) {
            std::thread::sleep(STEP);
            continue;
        }
        for entry in hosts {
            match entry.host().filter(|_| is_open(&entry)) {
                Some(host) => screen::say(format!(
                    "{host} has no address yet: it is allowed as soon as it has one; \"nightlatch names\" shows its state"
                )),
                None => screen::say(format!("host name {entry}")),
            }
        }
        return;
    }
}
