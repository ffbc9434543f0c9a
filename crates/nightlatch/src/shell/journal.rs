//! Messages of the daemon. Under systemd they go to the journal with their level.

use nightlatch_core::action::Level;

use super::screen;

/// Writes a message to standard error: with systemd's level prefix where the journal reads it,
/// with a word elsewhere.
pub fn tell(level: Level, message: &str) {
    let message = screen::printable(message);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let prefix = match (level, under_systemd) {
        (Level::Error, true) => "<3>",
        (Level::Warning, true) => "<4>",
        (Level::Info, true) => "<6>",
        (Level::Error, false) => "ERROR ",
        (Level::Warning, false) => "WARN ",
        (Level::Info, false) => "INFO ",
    };
    screen::complain(format!("{prefix}{message}"));
}
