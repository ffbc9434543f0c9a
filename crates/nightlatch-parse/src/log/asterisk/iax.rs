//! Messages of chan_iax2. Names of peers in them are the client's text; a guessed call number is all that
//! answers a challenge, so nothing proves the source.

use super::messages::{attempt, is_name, quoted_at_end, without_end};
use super::prefix::Line;
use super::text::{between, find_last, from, socket, split};
use crate::log::{Attempt, Outcome, Service};

pub(super) fn read<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let message = without_end(line.frame, line.message);
    match message.first()? {
        b'H' => host(line, message),
        b'N' => at_end(line, message, b"No registration for peer '", Outcome::UnknownAccount),
        b'P' => at_end(line, message, b"Peer '", Outcome::NotAllowed),
        b'E' => {
            let source = socket(message.strip_prefix(b"Empty registration from ")?)?;
            Some(attempt(line, source, Service::Iax, Outcome::Malformed))
        }
        b'R' => connect(line, message),
        b'C' => call_token(line, message),
        _ => None,
    }
}

/// `Host ADDRESS failed MD5 authentication for 'PEER' (...)`. What RSA says has the peer's name instead of
/// the address.
fn host<'a>(line: &Line<'a>, message: &'a [u8]) -> Option<Attempt<'a>> {
    let (source, rest) = split(message.strip_prefix(b"Host ")?, b' ')?;
    let texts: [&[u8]; 2] =
        [b"failed MD5 authentication for '", b"did not provide proper plaintext password for '"];
    let rest = texts.iter().find_map(|text| rest.strip_prefix(*text))?;
    let account = split(rest, b'\'')?.0;
    Some(Attempt {
        account: Some(account),
        ..attempt(line, socket(source)?, Service::Iax, Outcome::WrongPassword)
    })
}

/// `No registration for peer 'PEER' (from ADDRESS)`, `Peer 'PEER' is not dynamic (from ADDRESS)`
fn at_end<'a>(
    line: &Line<'a>,
    message: &'a [u8],
    beginning: &[u8],
    outcome: Outcome,
) -> Option<Attempt<'a>> {
    const FROM: &[u8] = b" (from ";
    let rest = message.strip_prefix(beginning)?.strip_suffix(b")")?;
    let place = find_last(rest, FROM)?;
    let source = socket(from(rest, place + FROM.len()))?;
    let name = between(rest, 0, place);
    let account = match outcome {
        Outcome::UnknownAccount => name.strip_suffix(b"'")?,
        _ => name.strip_suffix(b"' is not dynamic").filter(|name| is_name(name))?,
    };
    Some(Attempt { account: Some(account), ..attempt(line, source, Service::Iax, outcome) })
}

/// `Rejected connect attempt from ADDRESS, who was trying to reach 'NUMBER@CONTEXT'`
fn connect<'a>(line: &Line<'a>, message: &'a [u8]) -> Option<Attempt<'a>> {
    let rest = message.strip_prefix(b"Rejected connect attempt from ")?;
    let (source, rest) = split(rest, b',')?;
    let source = socket(source)?;
    let (number, outcome) = if let Some(number) = rest.strip_prefix(b" who was trying to reach '") {
        (quoted_at_end(line.frame, number), Outcome::NotAllowed)
    } else {
        let number = rest.strip_prefix(b" request '")?.strip_suffix(b"' does not exist")?;
        (number, Outcome::UnknownNumber)
    };
    let dialled = memchr::memrchr(b'@', number).map(|place| between(number, 0, place));
    Some(Attempt { dialled, ..attempt(line, source, Service::Iax, outcome) })
}

/// `Call rejected, CallToken Support required. If unexpected, resolve by placing address ADDRESS in the
/// calltokenoptional list or setting user NAME requirecalltoken=no`
fn call_token<'a>(line: &Line<'a>, message: &'a [u8]) -> Option<Attempt<'a>> {
    const BEGINNING: &[u8] =
        b"Call rejected, CallToken Support required. If unexpected, resolve by placing address ";
    let (source, rest) = split(message.strip_prefix(BEGINNING)?, b' ')?;
    let rest = rest.strip_prefix(b"in the calltokenoptional list or setting user ")?;
    let account = rest.strip_suffix(b" requirecalltoken=no");
    Some(Attempt { account, ..attempt(line, socket(source)?, Service::Iax, Outcome::NotAllowed) })
}
