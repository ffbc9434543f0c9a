//! What is said if the demo does not start.

use super::io::{Distrust, NotStarted};

/// Why the demo did not start, and what to do.
pub(super) fn not_started(why: &NotStarted) -> String {
    let why = match why {
        NotStarted::OwnFile(error) => {
            format!("this program cannot read where its own file is ({error}); is /proc mounted?")
        }
        NotStarted::NotInstalled(places) => {
            let places: Vec<String> =
                places.iter().map(|place| place.display().to_string()).collect();
            format!(
                "its program nightlatch-lab is not installed; looked for {}.\n\
                 Run install.sh again, which installs it, or build it: cargo build --release -p \
                 nightlatch-lab, and copy it to one of these places",
                places.join(", ")
            )
        }
        NotStarted::NotTrusted(place, distrust) => {
            let place = place.display();
            match distrust {
                Distrust::Owner(uid) => format!(
                    "{place} belongs to user {uid}, who is neither root nor the owner of \
                     nightlatch, so it is not started; remove it, or if it is genuine: chown root {place}"
                ),
                Distrust::Writable => format!(
                    "everybody may write to {place}, so it is not started; install it again, or \
                     if it is genuine: chmod o-w {place}"
                ),
            }
        }
        NotStarted::Refused(place, error) => {
            format!("{} cannot be started: {error}; install it again", place.display())
        }
    };
    format!("the demo cannot be shown: {why}")
}
