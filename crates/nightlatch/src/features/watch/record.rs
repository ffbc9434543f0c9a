//! Records of the journal as lines of a log, and how far they are trusted.

use nightlatch_core::detect::Trust;
use nightlatch_parse::journal::Record;
use nightlatch_parse::log::{Stamp, stamp};

/// The programs of sshd.
const SSHD: [&str; 8] = [
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/lib/openssh/sshd-auth",
    "/usr/libexec/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-auth",
    "/usr/lib/ssh/sshd-session",
    "/usr/lib/ssh/sshd-auth",
    "/usr/bin/sshd",
];

/// Whose records are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of sshd, by its program, its unit and its user: nobody else can write them.
    Sshd,
    /// Those of a unit.
    Unit(String),
    /// Those that a filter of fail2ban describes (`journalmatch`).
    Described(Described),
}

/// Records as a `journalmatch` describes them: one of the alternatives fits, and of each field in that one of the
/// values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described(Vec<Vec<(Known, String)>>);

/// A field by which records are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Unit,
    Program,
    Command,
    Identifier,
}

const KNOWN: [(&str, Known); 4] = [
    ("_SYSTEMD_UNIT", Known::Unit),
    ("_EXE", Known::Program),
    ("_COMM", Known::Command),
    ("SYSLOG_IDENTIFIER", Known::Identifier),
];

impl Described {
    /// Of the lines of a `journalmatch`.
    ///
    /// # Errors
    /// It has none, or a field that is not known here.
    pub(super) fn of(lines: &[Vec<String>]) -> Result<Described, String> {
        let mut alternatives = Vec::new();
        for terms in lines.iter().flat_map(|line| line.split(|term| term == "+")) {
            let terms = terms.iter().map(|term| {
                let known = term.split_once('=').and_then(|(name, value)| {
                    let (_, known) = KNOWN.iter().find(|(known, _)| *known == name)?;
                    Some((*known, value.to_owned()))
                });
                known.ok_or_else(|| {
                    let term: String = term.chars().take(80).collect();
                    format!("\"{term}\" in the journalmatch of the filter is not supported: name the unit with journal = \"UNIT\"")
                })
            });
            let terms = terms.collect::<Result<Vec<_>, String>>()?;
            if !terms.is_empty() {
                alternatives.push(terms);
            }
        }
        if alternatives.is_empty() {
            return Err("the filter has no journalmatch: name a file with path, or a unit with journal = \"UNIT\"".to_owned());
        }
        Ok(Described(alternatives))
    }

    fn fits(&self, record: &Record) -> bool {
        let of = |known: Known| match known {
            Known::Unit => &record.unit,
            Known::Program => &record.program,
            Known::Command => &record.command,
            Known::Identifier => &record.identifier,
        };
        self.0.iter().any(|terms| {
            terms.iter().all(|(known, _)| {
                let mut values = terms.iter().filter(|(other, _)| other == known);
                values.any(|(_, value)| value.as_bytes() == of(*known))
            })
        })
    }

    /// For `journalctl`: alternatives, each of terms.
    fn terms(&self) -> Vec<Vec<String>> {
        let name =
            |known: &Known| KNOWN.iter().find(|(_, it)| it == known).map_or("", |(name, _)| name);
        let one = |terms: &Vec<(Known, String)>| {
            terms.iter().map(|(known, value)| format!("{}={value}", name(known))).collect()
        };
        self.0.iter().map(one).collect()
    }
}

impl Whose {
    /// How far a record is trusted; `None` if it is not one of these.
    pub(super) fn trust(&self, record: &Record) -> Option<Trust> {
        if record.is_damaged {
            return None;
        }
        match self {
            Whose::Sshd => {
                let is_program = SSHD.iter().any(|path| path.as_bytes() == record.program);
                let is_unit = record.unit.starts_with(b"ssh") && record.unit.ends_with(b".service");
                (is_program && is_unit && record.user == Some(0)).then_some(Trust::Full)
            }
            Whose::Unit(unit) if unit.as_bytes() == record.unit => {
                Some(if record.user == Some(0) { Trust::Full } else { Trust::Low })
            }
            Whose::Unit(_) => None,
            Whose::Described(described) => described.fits(record).then_some(Trust::Low),
        }
    }

    /// For `journalctl`: alternatives, each of terms that all hold.
    pub(super) fn terms(&self) -> Vec<Vec<String>> {
        match self {
            Whose::Sshd => SSHD.iter().map(|path| vec![format!("_EXE={path}")]).collect(),
            Whose::Unit(unit) => vec![vec![format!("_SYSTEMD_UNIT={unit}")]],
            Whose::Described(described) => described.terms(),
        }
    }

    /// The name of the program in a line: sshd's own for sshd; for a unit what the writer says.
    fn program<'a>(&self, record: &'a Record) -> &'a [u8] {
        match self {
            Whose::Sshd => b"sshd",
            Whose::Unit(_) | Whose::Described(_) => {
                let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./".contains(byte);
                let name = &record.identifier;
                let is_name = !name.is_empty() && name.iter().all(is_sound);
                if is_name { name } else { b"journal" }
            }
        }
    }

    /// The record as syslog would write it into a file, without line breaks.
    pub(super) fn line(&self, record: &Record) -> Vec<u8> {
        let mut line = Vec::with_capacity(record.message.len() + 64);
        line.extend_from_slice(shown_stamp(record.received.unwrap_or(0)).as_bytes());
        line.extend_from_slice(b" journal ");
        line.extend_from_slice(self.program(record));
        if let Some(process) = record.process {
            line.extend_from_slice(format!("[{process}]").as_bytes());
        }
        line.extend_from_slice(b": ");
        line.extend(record.message.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        line
    }
}

/// A line of [`Whose::line`] in two parts: when it was written, and the rest, as fail2ban reads it.
pub(super) fn without_stamp(line: &[u8]) -> (Option<Stamp>, &[u8]) {
    match stamp::iso(line) {
        Some((stamp, rest)) => (Some(stamp), rest.trim_ascii_start()),
        None => (None, line),
    }
}

/// Microseconds since 1970 as `2026-11-20T08:36:32.123456+00:00`.
fn shown_stamp(micros: u64) -> String {
    let millis = i64::try_from(micros / 1000).unwrap_or(0);
    let shown = nightlatch_core::time::Time::from_millis(millis).to_string();
    let shown = shown.strip_suffix(" UTC").unwrap_or(&shown).replace(' ', "T");
    format!("{shown}.{:06}+00:00", micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use nightlatch_parse::log::{Format, Outcome, Reading};

    use super::*;

    fn failed(program: &str, unit: &str, user: u32) -> Record {
        Record {
            received: Some(1_796_069_833_505_000),
            unit: unit.into(),
            program: program.into(),
            user: Some(user),
            process: Some(4711),
            identifier: b"sshd".to_vec(),
            message: b"Failed password for root from 192.0.2.1 port 4000 ssh2".to_vec(),
            ..Record::default()
        }
    }

    /// `logger -t sshd`, run by anybody, in whatever unit: no such record is read.
    #[test]
    fn only_sshd_itself_writes_lines_of_sshd() {
        let trust = |program, unit, user| Whose::Sshd.trust(&failed(program, unit, user));
        let sshd = "/usr/sbin/sshd";
        assert_eq!(trust(sshd, "ssh.service", 0), Some(Trust::Full));
        assert_eq!(trust("/usr/lib/openssh/sshd-session", "sshd@3.service", 0), Some(Trust::Full));
        assert_eq!(trust("/usr/bin/logger", "session-4.scope", 65_534), None);
        assert_eq!(trust("/usr/bin/logger", "ssh.service", 0), None);
        // Somebody runs a copy, or sshd itself, by hand.
        assert_eq!(trust(sshd, "ssh.service", 1000), None);
        assert_eq!(trust(sshd, "session-4.scope", 0), None);
        assert_eq!(trust("/srv/x/usr/sbin/sshd", "ssh.service", 0), None);
        let damaged = Record { is_damaged: true, ..failed(sshd, "ssh.service", 0) };
        assert_eq!(Whose::Sshd.trust(&damaged), None);
    }

    #[test]
    fn a_unit_of_another_user_is_trusted_less() {
        let unit = Whose::Unit("asterisk.service".to_owned());
        let trust = |name, user| unit.trust(&failed("/usr/sbin/asterisk", name, user));
        assert_eq!(trust("asterisk.service", 0), Some(Trust::Full));
        assert_eq!(trust("asterisk.service", 120), Some(Trust::Low));
        assert_eq!(trust("other.service", 0), None);
    }

    #[test]
    fn a_filter_describes_records() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let described = |lines: &[&str]| {
            Described::of(&lines.iter().map(|line| words(line)).collect::<Vec<_>>())
        };
        let record = |unit: &str, command: &str| Record {
            command: command.into(),
            ..failed("/usr/sbin/sshd", unit, 0)
        };
        let whose = Whose::Described(
            described(&[
                "_SYSTEMD_UNIT=a.service _COMM=a _COMM=b + SYSLOG_IDENTIFIER=x",
                "_COMM=c",
            ])
            .unwrap(),
        );
        let fits = |unit, command| whose.trust(&record(unit, command)).is_some();
        assert!(fits("a.service", "a") && fits("a.service", "b") && fits("z.service", "c"));
        assert!(!fits("a.service", "z") && !fits("b.service", "a"));
        let x = Record { identifier: b"x".to_vec(), ..record("z", "z") };
        assert_eq!(whose.trust(&x), Some(Trust::Low));
        assert_eq!(whose.terms().concat().len(), 5);
        assert!(described(&["_SYSTEMD_UNIT=a PRIORITY=5"]).unwrap_err().contains("\"PRIORITY=5\""));
        assert!(described(&[]).unwrap_err().contains("no journalmatch"));
    }

    /// fail2ban knows a line of the journal without its date.
    #[test]
    fn filters_read_records_without_their_stamps() {
        let line = Whose::Unit(String::new()).line(&failed("/usr/sbin/sshd", "ssh.service", 0));
        let (stamp, text) = without_stamp(&line);
        assert!(stamp.is_some());
        assert_eq!(
            String::from_utf8_lossy(text),
            "journal sshd[4711]: Failed password for root from 192.0.2.1 port 4000 ssh2"
        );
    }

    #[test]
    fn records_are_read_like_lines() {
        let line = Whose::Sshd.line(&failed("/usr/sbin/sshd", "ssh.service", 0));
        let shown = String::from_utf8(line.clone()).unwrap();
        assert!(shown.contains(".505000+00:00 journal sshd[4711]: Failed"), "{shown}");
        let Some(Reading::Attempt(attempt)) = Format::Sshd.read(&line) else { panic!("{shown}") };
        assert_eq!(attempt.source.to_string(), "192.0.2.1");
        assert_eq!(attempt.outcome, Outcome::WrongPassword);
        assert_eq!(attempt.session, Some(b"4711".as_slice()));
        let broken = Record { message: b"x\nFailed".to_vec(), ..failed("", "", 0) };
        assert!(!Whose::Sshd.line(&broken).contains(&b'\n'));
    }
}
