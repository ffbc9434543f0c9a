//! Kamailio: the lines of our snippet, and those of the stock configuration about floods and malformed
//! messages. Without a snippet Kamailio logs no wrong password.
//!
//! With the stock `log_prefix` each line has the Call-ID in braces before the message. So text of the client
//! precedes the message, and a Call-ID that could end the braces makes a line doubtful.

use super::text::{
    self, Candidates, address, address_port, attempt, bracketed, split_last, split_once,
    without_colours,
};
use super::{Attempt, Doubt, Outcome, Proof, Reading, Service, Stamp, prefix, snippet};

/// What `xlog` writes in front of a message of the script.
const SCRIPT: &[u8] = b"<script>: ";

/// Up to this length, no daemon of syslog cuts a message.
const MAX_WHOLE: usize = 960;

/// Reads a line of syslog, or of the standard error of Kamailio (` 1(14856) NOTICE: ...`).
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    if let Some(prefix) = prefix::syslog(line) {
        return match is_program(prefix.program) {
            true => message(prefix.message, prefix.pid, Some(prefix.stamp)),
            false => None,
        };
    }
    message(line, None, None)
}

/// Whether a program of this name writes lines of Kamailio.
pub fn is_program(name: &[u8]) -> bool {
    name.starts_with(b"kamailio")
}

/// Whether the line has the shape of this log, whatever it says.
pub(super) fn is_shape(line: &[u8]) -> bool {
    match prefix::syslog(line) {
        Some(prefix) => is_program(prefix.program),
        None => without_process(line).is_some(),
    }
}

/// Reads a message alone, as the journal has it. The process says nothing: workers serve all clients.
pub fn message<'a>(
    message: &'a [u8],
    _pid: Option<&'a [u8]>,
    stamp: Option<Stamp>,
) -> Option<Reading<'a>> {
    let on_terminal = without_process(message);
    let read = without_prefixes(on_terminal.unwrap_or(message), stamp)?;
    Some(match read {
        // There, a text with a line break becomes a line of its own, if some configuration logs one.
        Reading::Attempt(read) if on_terminal.is_some() => {
            Reading::Attempt(Attempt { proof: Proof::Claimed, ..read })
        }
        read => read,
    })
}

/// Reads a message from its level on.
fn without_prefixes(message: &[u8], stamp: Option<Stamp>) -> Option<Reading<'_>> {
    let text = message.trim_ascii_end();
    let text = text.strip_suffix(b"\x1b[0;39;49m").unwrap_or(text);
    let (level, rest) = split_once(without_colours(text), b": ")?;
    if !matches!(level, b"ALERT" | b"CRITICAL" | b"ERROR" | b"WARNING" | b"NOTICE" | b"INFO") {
        return None;
    }
    let Some(inner) = rest.strip_prefix(b"{") else {
        return known(rest, stamp).map(Reading::Attempt).or_else(|| of_old_snippet(rest, stamp));
    };
    let (_, body) = split_once(inner, b"} ")?;
    if text::find(body, b"} ").is_some() {
        return doubtful(inner, stamp);
    }
    known(body, stamp).map(Reading::Attempt).or_else(|| of_old_snippet(body, stamp))
}

/// The text behind ` 1(14856) `, which Kamailio writes in front of a line on the terminal.
fn without_process(line: &[u8]) -> Option<&[u8]> {
    let (index, rest) = split_once(without_colours(line), b"(")?;
    let (pid, rest) = split_once(rest, b") ")?;
    let is_number =
        |text: &[u8]| (1..=10).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    (is_number(index) && is_number(pid)).then_some(rest)
}

/// One of the messages that are known, from its beginning to its end.
fn known(body: &[u8], stamp: Option<Stamp>) -> Option<Attempt<'_>> {
    let scan =
        |source, port| Attempt { stamp, port, ..attempt(source, Service::Sip, Outcome::Malformed) };
    let Some(script) = body.strip_prefix(SCRIPT) else {
        let (_, rest) = bracketed(body.strip_prefix(b"pike ")?)?;
        let (_, rest) = split_once(rest.strip_prefix(b": ")?, b": PIKE - BLOCKing ip ")?;
        let (host, _) = split_once(rest, b", node=")?;
        return Some(scan(address(host)?, None));
    };
    if let Some(record) = snippet::record(script, stamp) {
        return Some(record);
    }
    if let Some(rest) = script.strip_prefix(b"ALERT: pike blocking ") {
        let (_, peer) = split_last(rest.strip_suffix(b")")?, b" (IP:")?;
        let (source, port) = address_port(peer)?;
        return Some(scan(source, Some(port)));
    }
    let rest = script.strip_prefix(b"Malformed SIP ")?;
    let peer = [b"request from ".as_slice(), b"response from ", b"message from "]
        .iter()
        .find_map(|kind| rest.strip_prefix(*kind))?;
    let (source, port) = address_port(peer)?;
    Some(scan(source, Some(port)))
}

/// `Auth failed (REGISTER) rc=-2 user=200 from=sip:200@example.net src=192.0.2.1:5060 ua=x`, which many
/// configurations write. The source stands between texts of the client; of a line long enough to be cut on its
/// way to the log, it may be missing.
fn of_old_snippet(body: &[u8], stamp: Option<Stamp>) -> Option<Reading<'_>> {
    let rest = body.strip_prefix(SCRIPT)?.strip_prefix(b"Auth failed (")?;
    let (_, rest) = split_once(rest, b") rc=")?;
    let (result, rest) = split_once(rest, b" user=")?;
    let outcome = match result {
        b"-2" => Outcome::WrongPassword,
        b"-3" => Outcome::UnknownAccount,
        b"-8" => Outcome::NotAllowed,
        _ => return None,
    };
    let mut candidates = Candidates::default();
    for (_, behind) in text::splits(rest, b" src=") {
        let peer = behind.split(|byte| *byte == b' ').next().unwrap_or_default();
        if let Some((source, port)) = address_port(peer) {
            candidates.add(source, Some(port));
        }
    }
    if body.len() > MAX_WHOLE {
        return None;
    }
    let (account, _) = split_once(rest, b" from=")?;
    let (_, agent) = split_last(rest, b" ua=")?;
    Some(match candidates.only(stamp, Service::Sip, rest)? {
        Ok((source, port)) => Reading::Attempt(Attempt {
            stamp,
            port,
            proof: Proof::Claimed,
            account: text::filled(account),
            agent: text::filled(agent),
            ..attempt(source, Service::Sip, outcome)
        }),
        Err(doubtful) => doubtful,
    })
}

/// A line whose Call-ID may have written a message of its own: a doubt with each source that could be read.
fn doubtful(inner: &[u8], stamp: Option<Stamp>) -> Option<Reading<'_>> {
    let mut sources = Vec::new();
    for (_, body) in text::splits(inner, b"} ").take(64) {
        let body = body.get(..body.len().min(1024)).unwrap_or(body);
        let begin = body.strip_prefix(SCRIPT).and_then(|rest| rest.strip_prefix(snippet::MARK));
        let host = begin.and_then(|rest| rest.split(|byte| *byte == b' ').next());
        let source = host.and_then(address).or_else(|| known(body, stamp).map(|read| read.source));
        if let Some(source) = source.filter(|source| !sources.contains(source)) {
            sources.push(source);
        }
    }
    if sources.is_empty() {
        return None;
    }
    sources.truncate(8);
    Some(Reading::Doubtful(Doubt { stamp, service: Service::Sip, sources, text: inner }))
}
