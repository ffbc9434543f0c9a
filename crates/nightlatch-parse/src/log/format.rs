//! The formats that are read natively, and which of them a file has.

use std::fmt;
use std::str::FromStr;

use super::text::{bracketed, without_colours};
use super::{
    MAX_LINE, Reading, apache, asterisk, freepbx, freeswitch, fusionpbx, kamailio, nginx, opensips,
    prefix, sshd, stamp,
};

/// A format of logs that is read natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Asterisk: `messages`, `full`, `security` and the like.
    Asterisk,
    /// FreePBX's `freepbx_security.log`.
    Freepbx,
    /// FreeSWITCH, also below FusionPBX.
    Freeswitch,
    /// FusionPBX's web pages, in syslog.
    Fusionpbx,
    /// Kamailio, with our snippet or as it comes.
    Kamailio,
    /// OpenSIPS with our snippet.
    Opensips,
    /// OpenSSH's server.
    Sshd,
    /// nginx's error log.
    Nginx,
    /// Apache's error log.
    Apache,
}

/// All of them, in the order in which they are tried.
const ALL: [Format; 9] = [
    Format::Asterisk,
    Format::Freepbx,
    Format::Freeswitch,
    Format::Fusionpbx,
    Format::Kamailio,
    Format::Opensips,
    Format::Sshd,
    Format::Nginx,
    Format::Apache,
];

/// How many lines of a file are looked at to find its format.
const MAX_LINES: usize = 2_000;

impl Format {
    /// All formats.
    pub const fn all() -> &'static [Format] {
        &ALL
    }

    /// What a line says, without its line break. A line longer than [`MAX_LINE`] says nothing.
    pub fn read(self, line: &[u8]) -> Option<Reading<'_>> {
        if line.len() > MAX_LINE {
            return None;
        }
        match self {
            Format::Asterisk => asterisk::read(line),
            Format::Freepbx => freepbx::read(line),
            Format::Freeswitch => freeswitch::read(line),
            Format::Fusionpbx => fusionpbx::read(line),
            Format::Kamailio => kamailio::read(line),
            Format::Opensips => opensips::read(line),
            Format::Sshd => sshd::read(line),
            Format::Nginx => nginx::read(line),
            Format::Apache => apache::read(line),
        }
    }

    /// Which format most of the lines have, whatever they say; `None` if none has a known one. Of a file with
    /// lines of many programs (`auth.log`), the format that has most of them. Looks at 2,000 lines.
    pub fn detect<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Format> {
        let mut counts = [0_usize; ALL.len()];
        for line in lines.into_iter().take(MAX_LINES).filter(|line| line.len() <= MAX_LINE) {
            let shape = ALL.iter().zip(&mut counts).find(|(format, _)| format.is_shape(line));
            if let Some((_, count)) = shape {
                *count += 1;
            }
        }
        let most = ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
        most.rev().max_by_key(|(_, count)| *count).map(|(format, _)| *format)
    }

    /// Whether a line has the shape of the format, whatever it says.
    fn is_shape(self, line: &[u8]) -> bool {
        let program =
            |is: fn(&[u8]) -> bool| prefix::syslog(line).is_some_and(|prefix| is(prefix.program));
        match self {
            Format::Asterisk => is_asterisk(line),
            Format::Freepbx => freepbx::is_shape(line),
            Format::Freeswitch => freeswitch::is_shape(line),
            Format::Fusionpbx => program(fusionpbx::is_program),
            Format::Kamailio => kamailio::is_shape(line),
            Format::Opensips => opensips::is_shape(line),
            Format::Sshd => program(sshd::is_program),
            Format::Nginx => nginx::is_shape(line),
            Format::Apache => apache::is_shape(line),
        }
    }

    /// Its name, as in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Asterisk => "asterisk",
            Format::Freepbx => "freepbx",
            Format::Freeswitch => "freeswitch",
            Format::Fusionpbx => "fusionpbx",
            Format::Kamailio => "kamailio",
            Format::Opensips => "opensips",
            Format::Sshd => "sshd",
            Format::Nginx => "nginx",
            Format::Apache => "apache",
        }
    }
}

/// Whether the line has the shape of a log of Asterisk: the moment in brackets, a level and a thread
/// (`[Nov 20 08:36:32] NOTICE[3050]`), as text, in syslog or as JSON.
fn is_asterisk(line: &[u8]) -> bool {
    const LEVELS: [&[u8]; 7] =
        [b"NOTICE", b"WARNING", b"ERROR", b"VERBOSE", b"DEBUG", b"SECURITY", b"DTMF"];
    if line.starts_with(b"{\"hostname\":") {
        return true;
    }
    let line = without_colours(line);
    let rest = match prefix::syslog(line) {
        Some(prefix) if prefix.program == b"asterisk" => prefix.message,
        Some(_) => return false,
        None => match bracketed(line) {
            Some((moment, rest)) if stamp::any(moment).is_some() => rest,
            _ => return false,
        },
    };
    let rest = without_colours(rest);
    let level = rest.iter().take(9).take_while(|byte| byte.is_ascii_uppercase()).count();
    let level = rest.get(..level).filter(|level| LEVELS.contains(level));
    level.is_some_and(|level| {
        let rest = without_colours(rest.get(level.len()..).unwrap_or_default());
        matches!(rest, [b'[', b'0'..=b'9', ..])
    })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no format has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log format \"{name}\"; known formats: {}", names())]
pub struct UnknownFormat {
    /// The name as written, at most 40 characters of it.
    pub name: String,
}

/// All names, for a message.
fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|format| format.name()).collect();
    names.join(", ")
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        let found = ALL.iter().find(|format| format.name() == text);
        found.copied().ok_or_else(|| UnknownFormat { name: text.chars().take(40).collect() })
    }
}
