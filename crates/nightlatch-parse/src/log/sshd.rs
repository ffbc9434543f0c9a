//! OpenSSH's server: the lines of `sshd`, and of `sshd-session` since 9.8.
//!
//! User names may contain anything but control characters, so most lines are read from their end. Where text
//! of the client stands on both sides of the address (the name before, the identity of a certificate or the
//! reason behind), a line with several possible addresses is doubtful.

use std::net::IpAddr;

use super::text::{self, Candidates, address, attempt, filled, port, split_last, split_once};
use super::{Attempt, Outcome, Proof, Reading, Service, Stamp, prefix};

/// Reads a line of a file, with the prefix of syslog.
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let prefix = prefix::syslog(line)?;
    if !is_program(prefix.program) {
        return None;
    }
    message(prefix.message, prefix.pid, Some(prefix.stamp))
}

/// Whether a program of this name writes lines of OpenSSH's server.
pub fn is_program(name: &[u8]) -> bool {
    matches!(name, b"sshd" | b"sshd-session" | b"sshd-auth")
}

/// Reads a message alone, as the journal has it: `pid` is the process that wrote it, one for each connection.
pub fn message<'a>(
    message: &'a [u8],
    pid: Option<&'a [u8]>,
    stamp: Option<Stamp>,
) -> Option<Reading<'a>> {
    let line = Line { text: once(message.trim_ascii_end()), pid, stamp };
    let text = line.text;
    let (first, rest) = split_once(text, b" ")?;
    match first {
        b"Failed" => line.tried(rest, false),
        b"Accepted" => line.tried(rest, true),
        b"Invalid" => line.invalid_user(rest),
        b"Connection" => {
            let rest =
                rest.strip_prefix(b"closed by ").or_else(|| rest.strip_prefix(b"reset by "))?;
            line.left(rest)
        }
        b"Disconnected" => line.left(rest.strip_prefix(b"from ")?),
        b"Disconnecting" => line.sent_away(rest),
        b"error:" => line.error(rest),
        b"maximum" => line.error(text),
        b"User" => line.not_allowed(rest),
        b"PAM" => line.pam(rest),
        b"ROOT" => {
            let (source, port) = at_port(rest.strip_prefix(b"LOGIN REFUSED FROM ")?)?;
            let attempt = line.attempt(source, Some(port), Outcome::NotAllowed);
            Some(Reading::Attempt(Attempt { account: Some(b"root"), ..attempt }))
        }
        b"Bad" => {
            let rest = rest.strip_prefix(b"protocol version identification ")?;
            let (_, source, port) = name_from(rest)?;
            Some(Reading::Attempt(line.attempt(source, Some(port), Outcome::Malformed)))
        }
        b"Unable" => line.scan(rest.strip_prefix(b"to negotiate with ")?, b": no matching "),
        b"banner" => {
            line.scan(rest.strip_prefix(b"exchange: Connection from ")?, b": invalid format")
        }
        _ if first.starts_with(b"pam_") && first.ends_with(b"(sshd:auth):") => {
            line.fields_of_pam(rest.strip_prefix(b"authentication failure; ")?)
        }
        _ => None,
    }
}

/// The message in `message repeated 2 times: [ Failed ...]`, with which rsyslog replaces equal ones.
fn once(text: &[u8]) -> &[u8] {
    let inner = || {
        let rest = text.strip_prefix(b"message repeated ")?;
        let (times, rest) = split_once(rest, b" times: [ ")?;
        let is_number = times.len() <= 10 && times.iter().all(u8::is_ascii_digit);
        is_number.then(|| rest.strip_suffix(b"]")).flatten()
    };
    inner().unwrap_or(text)
}

/// What is known of a line while it is read.
struct Line<'a> {
    text: &'a [u8],
    pid: Option<&'a [u8]>,
    stamp: Option<Stamp>,
}

impl<'a> Line<'a> {
    fn attempt(&self, source: IpAddr, port: Option<u16>, outcome: Outcome) -> Attempt<'a> {
        Attempt {
            stamp: self.stamp,
            port,
            proof: Proof::Answered,
            session: self.pid,
            ..attempt(source, Service::Ssh, outcome)
        }
    }

    fn of_user(
        &self,
        (name, source, port): (&'a [u8], IpAddr, Option<u16>),
        outcome: Outcome,
    ) -> Reading<'a> {
        let account = filled(name);
        Reading::Attempt(Attempt { account, ..self.attempt(source, port, outcome) })
    }

    /// `METHOD for [invalid user ]NAME from ADDRESS port N ssh2[: KEY]`.
    fn tried(&self, rest: &'a [u8], succeeded: bool) -> Option<Reading<'a>> {
        let (method, rest) = split_once(rest, b" for ")?;
        let (rest, is_known) = match rest.strip_prefix(b"invalid user ") {
            Some(rest) => (rest, false),
            None => (rest, true),
        };
        // Clients offer several keys, and ask which methods there are, before each honest login.
        let may_precede_success =
            matches!(method, b"none" | b"publickey" | b"hostbased" | b"gssapi-with-mic");
        let outcome = match (succeeded, is_known) {
            (true, _) => Outcome::Succeeded,
            (false, false) => Outcome::UnknownAccount,
            (false, true) if may_precede_success => Outcome::Challenged,
            (false, true) => Outcome::WrongPassword,
        };
        let tells_key = matches!(method, b"publickey" | b"hostbased");
        if let Some(rest) = rest.strip_suffix(b" ssh2").filter(|_| !tells_key) {
            let (name, source, port) = name_from(rest)?;
            return Some(self.of_user((name, source, Some(port)), outcome));
        }
        // The name of the user stands before the address, the identity of a certificate behind it, and a
        // long line is cut.
        let mut candidates = Candidates::default();
        let mut name = None;
        let whole = rest.strip_suffix(b" ssh2").into_iter();
        for before in text::splits(rest, b" ssh2: ").map(|(before, _)| before).chain(whole) {
            if let Some((read, source, port)) = name_from(before) {
                candidates.add(source, Some(port));
                name.get_or_insert(read);
            }
        }
        let only = candidates.only(self.stamp, Service::Ssh, self.text)?;
        Some(match only {
            Ok((source, port)) => self.of_user((name?, source, port), outcome),
            Err(doubtful) => doubtful,
        })
    }

    /// `Invalid user NAME from ADDRESS[ port N]`.
    fn invalid_user(&self, rest: &'a [u8]) -> Option<Reading<'a>> {
        let rest = rest.strip_prefix(b"user ")?;
        if let Some((name, source, port)) = name_from(rest) {
            return Some(self.of_user((name, source, Some(port)), Outcome::UnknownAccount));
        }
        let (name, source) = split_last_from(rest)?;
        Some(self.of_user((name, source, None), Outcome::UnknownAccount))
    }

    /// `authenticating user NAME ADDRESS port N [preauth]`: the client left before it was logged in.
    fn left(&self, rest: &'a [u8]) -> Option<Reading<'a>> {
        let (rest, outcome) = kind_of_user(rest)?;
        let (name, source, port) = name_at(rest.strip_suffix(b" [preauth]")?)?;
        Some(self.of_user((name, source, Some(port)), outcome))
    }

    /// `authenticating user NAME ADDRESS port N: REASON [preauth]`. The reason may be the client's text, too.
    fn sent_away(&self, rest: &'a [u8]) -> Option<Reading<'a>> {
        let (rest, outcome) = kind_of_user(rest)?;
        let rest = rest.strip_suffix(b" [preauth]").unwrap_or(rest);
        let mut candidates = Candidates::default();
        let mut name = None;
        for (before, _) in text::splits(rest, b": ") {
            if let Some((read, source, port)) = name_at(before) {
                candidates.add(source, Some(port));
                name.get_or_insert(read);
            }
        }
        let only = candidates.only(self.stamp, Service::Ssh, self.text)?;
        Some(match only {
            Ok((source, port)) => self.of_user((name?, source, port), outcome),
            Err(doubtful) => doubtful,
        })
    }

    fn error(&self, rest: &'a [u8]) -> Option<Reading<'a>> {
        if let Some(rest) = rest.strip_prefix(b"maximum authentication attempts exceeded for ") {
            let rest = rest.strip_suffix(b" [preauth]").unwrap_or(rest).strip_suffix(b" ssh2")?;
            let (rest, outcome) = match rest.strip_prefix(b"invalid user ") {
                Some(rest) => (rest, Outcome::UnknownAccount),
                None => (rest, Outcome::WrongPassword),
            };
            let (name, source, port) = name_from(rest)?;
            return Some(self.of_user((name, source, Some(port)), outcome));
        }
        // `PAM: REASON for [illegal user ]NAME from ADDRESS`: the reason is a text of PAM.
        let (_, rest) = split_once(rest.strip_prefix(b"PAM: ")?, b" for ")?;
        let (rest, outcome) = match rest.strip_prefix(b"illegal user ") {
            Some(rest) => (rest, Outcome::UnknownAccount),
            None => (rest, Outcome::WrongPassword),
        };
        let (name, source) = split_last_from(rest)?;
        Some(self.of_user((name, source, None), outcome))
    }

    /// `NAME from ADDRESS not allowed because REASON`: the reason is the server's own text.
    fn not_allowed(&self, rest: &'a [u8]) -> Option<Reading<'a>> {
        let (rest, _) = split_last(rest, b" not allowed because ")?;
        let (name, source) = split_last_from(rest)?;
        Some(self.of_user((name, source, None), Outcome::NotAllowed))
    }

    /// `N more authentication failures; FIELDS`.
    fn pam(&self, rest: &'a [u8]) -> Option<Reading<'a>> {
        let (number, rest) = split_once(rest, b" ")?;
        let fields = rest
            .strip_prefix(b"more authentication failures; ")
            .or_else(|| rest.strip_prefix(b"more authentication failure; "))?;
        number.iter().all(u8::is_ascii_digit).then(|| self.fields_of_pam(fields)).flatten()
    }

    /// `logname= uid=0 euid=0 tty=ssh ruser= rhost=ADDRESS  user=NAME`: only the name is the client's text.
    fn fields_of_pam(&self, fields: &'a [u8]) -> Option<Reading<'a>> {
        let (_, rest) = split_once(fields, b" rhost=")?;
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (host, rest) = rest.split_at_checked(end)?;
        let name = rest.trim_ascii_start().strip_prefix(b"user=").unwrap_or_default();
        let outcome = match name {
            b"" => Outcome::UnknownAccount,
            _ => Outcome::WrongPassword,
        };
        Some(self.of_user((name, address(host)?, None), outcome))
    }

    /// `ADDRESS port N` and `mark` at the beginning: nobody tried to log in, but no SSH client writes so.
    fn scan(&self, rest: &'a [u8], mark: &[u8]) -> Option<Reading<'a>> {
        let (peer, _) = split_once(rest, mark)?;
        let (source, port) = at_port(peer)?;
        Some(Reading::Attempt(self.attempt(source, Some(port), Outcome::Malformed)))
    }
}

/// What follows `authenticating user ` or `invalid user `, and what that means.
fn kind_of_user(rest: &[u8]) -> Option<(&[u8], Outcome)> {
    if let Some(rest) = rest.strip_prefix(b"authenticating user ") {
        return Some((rest, Outcome::WrongPassword));
    }
    Some((rest.strip_prefix(b"invalid user ")?, Outcome::UnknownAccount))
}

/// `ADDRESS port N`, the whole text.
fn at_port(text: &[u8]) -> Option<(IpAddr, u16)> {
    let (host, number) = split_once(text, b" port ")?;
    Some((address(host)?, port(number)?))
}

/// `NAME from ADDRESS port N`, read from the end.
fn name_from(text: &[u8]) -> Option<(&[u8], IpAddr, u16)> {
    let (rest, number) = split_end(text, b" port ")?;
    let number = port(number)?;
    let (name, source) = split_last_from(rest)?;
    Some((name, source, number))
}

/// `NAME ADDRESS port N`, read from the end.
fn name_at(text: &[u8]) -> Option<(&[u8], IpAddr, u16)> {
    let (rest, number) = split_end(text, b" port ")?;
    let number = port(number)?;
    let (name, host) = split_end(rest, b" ")?;
    Some((name, address(host)?, number))
}

/// `NAME from ADDRESS`, read from the end.
fn split_last_from(text: &[u8]) -> Option<(&[u8], IpAddr)> {
    let (name, host) = split_end(text, b" from ")?;
    Some((name, address(host)?))
}

/// The texts before and behind the last `needle`, if that is within the last 64 bytes: no address is longer.
fn split_end<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = text.len().saturating_sub(64);
    let (_, end) = split_last(text.get(start..)?, needle)?;
    let before = text.len() - end.len() - needle.len();
    Some((text.get(..before)?, end))
}
