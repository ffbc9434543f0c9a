//! OpenSIPS: the lines of our snippet, and what its module `pike` writes about floods.
//!
//! OpenSIPS writes no text of the client in front of a message of the script.

use super::text::{address, attempt, bracketed, split_once};
use super::{Attempt, Outcome, Reading, Service, Stamp, prefix, snippet, stamp};

/// Reads a line of syslog, or of the standard error of OpenSIPS (`Nov 20 08:36:32 [14856] ...`).
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    if let Some(prefix) = prefix::syslog(line) {
        return match is_program(prefix.program) {
            true => message(prefix.message, prefix.pid, Some(prefix.stamp)),
            false => None,
        };
    }
    let (stamp, rest) = with_process(line)?;
    message(rest, None, Some(stamp))
}

/// Whether a program of this name writes lines of OpenSIPS.
pub fn is_program(name: &[u8]) -> bool {
    name.starts_with(b"opensips")
}

/// Whether the line has the shape of this log, whatever it says.
pub(super) fn is_shape(line: &[u8]) -> bool {
    match prefix::syslog(line) {
        Some(prefix) => is_program(prefix.program),
        None => with_process(line).is_some(),
    }
}

/// Reads a message alone, as the journal has it. The process says nothing: workers serve all clients.
pub fn message<'a>(
    message: &'a [u8],
    _pid: Option<&'a [u8]>,
    stamp: Option<Stamp>,
) -> Option<Reading<'a>> {
    let text = without_level(message.trim_ascii_end());
    if let Some(record) = snippet::record(text, stamp) {
        return Some(Reading::Attempt(record));
    }
    let rest = text.strip_prefix(b"PIKE - BLOCKing ip ")?;
    let (host, _) = split_once(rest, b", node=")?;
    let attempt = attempt(address(host)?, Service::Sip, Outcome::Malformed);
    Some(Reading::Attempt(Attempt { stamp, ..attempt }))
}

/// The text without the level in front of it, which versions since 3.0 write (`NOTICE:`).
fn without_level(text: &[u8]) -> &[u8] {
    let letters = text.iter().take(9).take_while(|byte| byte.is_ascii_uppercase()).count();
    match text.get(letters..) {
        Some([b':', rest @ ..]) if letters > 2 => rest,
        _ => text,
    }
}

/// The moment and the text behind `Nov 20 08:36:32 [14856] `.
fn with_process(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = stamp::month_day(line)?;
    let (pid, rest) = bracketed(rest.strip_prefix(b" ")?)?;
    let is_number = (1..=10).contains(&pid.len()) && pid.iter().all(u8::is_ascii_digit);
    is_number.then(|| rest.strip_prefix(b" ")).flatten().map(|rest| (stamp, rest))
}
