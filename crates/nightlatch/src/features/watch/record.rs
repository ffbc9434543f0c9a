//! Records of the journal as lines of a log, and how far they are trusted.

use nightlatch_core::detect::Trust;
use nightlatch_parse::journal::Record;

/// The programs of sshd.
pub(super) const SSHD: [&str; 8] = [
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
        }
    }

    /// The name of the program in a line: sshd's own for sshd; for a unit what the writer says.
    fn program<'a>(&self, record: &'a Record) -> &'a [u8] {
        match self {
            Whose::Sshd => b"sshd",
            Whose::Unit(_) => {
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
        line.extend_from_slice(stamp(record.received.unwrap_or(0)).as_bytes());
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

/// Microseconds since 1970 as `2026-11-20T08:36:32.123456+00:00`.
fn stamp(micros: u64) -> String {
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
