//! Running calls of Asterisk.

use super::{MAX_ENTRIES, shown};

/// One leg of a call, as `core show channels concise` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The full name, unchanged: `PJSIP/1005-0000001a`.
    pub name: String,
    /// The channel driver: `PJSIP`, `SIP`, `IAX2`.
    pub driver: String,
    /// The endpoint or peer.
    pub endpoint: String,
    /// The state, e.g. `Up` or `Ring`.
    pub state: String,
    /// The number dialled on it, if Asterisk shows one.
    pub dialled: String,
}

/// Reads `core show channels concise`: fields between `!`, the name first (`main/cli.c`,
/// `CONCISE_FORMAT_STRING`).
///
/// The caller's number is text that the caller chose and may contain a line break, so whole lines may
/// be forged: compare the number of lines with [`channel_count`].
pub fn channels(text: &str) -> Vec<Channel> {
    text.lines().filter_map(channel).take(MAX_ENTRIES).collect()
}

fn channel(line: &str) -> Option<Channel> {
    let mut fields = line.split('!');
    let name = fields.next()?;
    let dialled = fields.nth(1)?;
    let state = fields.nth(1)?;
    let (driver, rest) = name.split_once('/')?;
    let (endpoint, _) = rest.rsplit_once('-')?;
    let is_driver = !driver.is_empty() && driver.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_driver && !endpoint.is_empty()).then(|| Channel {
        name: name.to_owned(),
        driver: driver.to_owned(),
        endpoint: shown(endpoint),
        state: shown(state),
        dialled: shown(dialled),
    })
}

/// Reads `core show channels count`: how many channels there are.
pub fn channel_count(text: &str) -> Option<usize> {
    text.lines().find_map(|line| {
        let (number, rest) = line.trim().split_once(' ')?;
        rest.starts_with("active channel").then(|| number.parse().ok())?
    })
}
