//! The formats of logs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use nightlatch_parse::log::{Attempt, Outcome, Proof, Reading, Service};

/// A format of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Asterisk.
    Asterisk,
}

impl Format {
    /// All of them.
    pub const ALL: &'static [Format] = &[Format::Asterisk];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Asterisk => "asterisk",
        }
    }

    /// What a line says, if it says anything.
    pub fn read(self, line: &[u8]) -> Option<Reading<'_>> {
        let text = std::str::from_utf8(line).ok()?;
        if !text.contains("SecurityEvent=\"ChallengeResponseFailed\"") {
            return None;
        }
        let (_, rest) = text.rsplit_once(",RemoteAddress=\"")?;
        let source: IpAddr = rest.split('/').nth(2)?.parse().ok()?;
        Some(Reading::Attempt(Attempt {
            stamp: None,
            source,
            port: None,
            service: Service::Sip,
            outcome: Outcome::WrongPassword,
            proof: Proof::Answered,
            account: None,
            session: None,
            agent: None,
            dialled: None,
        }))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(name: &str) -> Result<Format, ()> {
        Format::ALL.iter().copied().find(|format| format.name() == name).ok_or(())
    }
}
