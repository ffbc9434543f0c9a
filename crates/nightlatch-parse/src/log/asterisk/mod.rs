//! Logs of Asterisk: `messages`, `full`, `security` and the like, through files, syslog and the journal, as
//! text or JSON; and the events of the manager interface ([`ami`]).
//!
//! What an attacker can do to such a line, and what is done about it:
//!
//! - He writes whole fields and addresses into a From, a Call-ID, a user name. The source is taken from the
//!   place where Asterisk writes it and he cannot; where he can write on both sides of it and the addresses
//!   differ, the line is [`Reading::Doubtful`].
//! - He writes an escape character. In files of text Asterisk deletes from there to the next `m`, which can
//!   delete the true address. The fields of the security channel survive that (their name has an `m`); a
//!   NOTICE about SIP may not, so it never proves its source ([`Proof::Claimed`]).
//! - He writes a line feed where Asterisk does not escape it (accounts of chan_sip without limit, 36
//!   characters in chan_pjsip, 79 in a dialled number): what follows is a line of his own. One line cannot
//!   show that. Whoever may not accept it reads JSON or syslog, where it cannot happen, or asks whether the
//!   [`thread`] that wrote the line exists.
//! - He makes a line longer than Asterisk's buffer, which cuts it: such lines are not read.
//!
//! Never an attempt: addresses out of Via (`Friendly Scanner from`), Contact (`SIP Contact ACL`, `did not
//! pass ACL test`) or From (`Failed to authenticate device`), and lines about our own registrations.
//!
//! [`Proof::Claimed`]: super::Proof::Claimed

pub mod ami;
mod events;
mod iax;
mod json;
mod messages;
mod pjsip;
mod prefix;
mod security;
mod sip;
mod text;

use super::Reading;
use prefix::{Level, Line};

/// Asterisk cuts lines at 8,191 bytes: of one that is nearly as long, the end is not to be believed.
const MAX_LENGTH: usize = 8_000;

/// Reads one line, without its line end; `None` if it tells of no attempt.
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let line = apart(line)?;
    match line.level {
        Level::Security if line.file == b"res_security_log.c" => security::read(&line),
        Level::Security => None,
        Level::Other => messages::read(&line),
    }
}

/// The thread of Asterisk that wrote a line, as the kernel numbers it in Asterisk's own namespace.
pub fn thread(line: &[u8]) -> Option<u32> {
    apart(line)?.thread
}

fn apart(line: &[u8]) -> Option<Line<'_>> {
    if line.len() > MAX_LENGTH {
        return None;
    }
    match line.first()? {
        b'{' => json::text(line),
        _ => prefix::text(line),
    }
}

#[cfg(test)]
mod tests;
