//! What syslog writes in front of a message, in files of rsyslog, syslog-ng and the like.

use super::stamp::{self, Stamp};

/// The longest name of a host or program that is taken for one.
const MAX_NAME: usize = 255;

/// A line of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// When.
    pub stamp: Stamp,
    /// The host that wrote it, as its name or address.
    pub host: &'a [u8],
    /// The program, without its path.
    pub program: &'a [u8],
    /// The process, where it is written.
    pub pid: Option<&'a [u8]>,
    /// The message: the rest of the line.
    pub message: &'a [u8],
}

/// Reads `Nov 20 08:36:32 host program[pid]: message`, the time as in RFC 3164 or RFC 3339, behind `<34>` or
/// not, and with the fields of RFC 5424 (`<34>1 TIME host program pid id - message`).
///
/// Any user of the host can write such lines with any name of a program (`logger -t`).
pub fn syslog(line: &[u8]) -> Option<Prefix<'_>> {
    let (text, is_5424) = without_priority(line);
    let (stamp, rest) = match text.first()? {
        b'0'..=b'9' => stamp::iso(text)?,
        _ => stamp::month_day(text)?,
    };
    let (host, rest) = word(rest.strip_prefix(b" ")?)?;
    if host.starts_with(b"[") {
        return None;
    }
    if is_5424 {
        return fields(stamp, host, rest);
    }
    let end = rest.iter().take(MAX_NAME).position(|byte| matches!(byte, b'[' | b':' | b' '))?;
    let (program, rest) = rest.split_at_checked(end)?;
    let (pid, rest) = match rest.strip_prefix(b"[") {
        Some(rest) => {
            let (pid, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == b']')?)?;
            (Some(pid).filter(|pid| is_pid(pid)), rest.strip_prefix(b"]")?)
        }
        None => (None, rest),
    };
    let message = rest.strip_prefix(b":")?;
    let message = message.strip_prefix(b" ").unwrap_or(message);
    Some(Prefix { stamp, host, program: without_path(program), pid, message })
}

/// The fields of RFC 5424 behind the host. Only without structured data: no program that is read here
/// writes any.
fn fields<'a>(stamp: Stamp, host: &'a [u8], rest: &'a [u8]) -> Option<Prefix<'a>> {
    let (program, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let message = rest.strip_prefix(b"- ")?;
    let message = message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message);
    let pid = Some(pid).filter(|pid| is_pid(pid));
    Some(Prefix { stamp, host, program: without_path(program), pid, message })
}

/// The text behind `<34>`, and whether the version of RFC 5424 stood there.
fn without_priority(line: &[u8]) -> (&[u8], bool) {
    let Some(inner) = line.strip_prefix(b"<") else {
        return (line, false);
    };
    let digits = inner.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    match inner.split_at_checked(digits) {
        Some((_, [b'>', b'1', b' ', rest @ ..])) if digits > 0 => (rest, true),
        Some((_, [b'>', rest @ ..])) if digits > 0 => (rest, false),
        _ => (line, false),
    }
}

/// A word and what follows the space behind it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().take(MAX_NAME).position(|byte| *byte == b' ')?;
    let (word, rest) = text.split_at_checked(end)?;
    (!word.is_empty()).then_some((word, rest.strip_prefix(b" ")?))
}

fn is_pid(pid: &[u8]) -> bool {
    (1..=10).contains(&pid.len()) && pid.iter().all(u8::is_ascii_digit)
}

/// `/usr/sbin/kamailio` is `kamailio`.
fn without_path(program: &[u8]) -> &[u8] {
    program.rsplit(|byte| *byte == b'/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};

    fn check(line: &str, host: &str, program: &str, pid: Option<&str>, message: &str) {
        let prefix = syslog(line.as_bytes()).unwrap_or_else(|| panic!("not read: {line}"));
        assert_eq!(prefix.host, host.as_bytes(), "{line}");
        assert_eq!(prefix.program, program.as_bytes(), "{line}");
        assert_eq!(prefix.pid, pid.map(str::as_bytes), "{line}");
        assert_eq!(prefix.message, message.as_bytes(), "{line}");
    }

    #[test]
    fn what_daemons_of_syslog_write() {
        check("Nov 20 08:36:32 pbx sshd[602]: a: b", "pbx", "sshd", Some("602"), "a: b");
        check("Nov  2 08:36:32 pbx sshd[602]:a", "pbx", "sshd", Some("602"), "a");
        check("<38>Nov 20 08:36:32 pbx su: x", "pbx", "su", None, "x");
        let line = "2026-11-20T08:36:32.123456+01:00 192.0.2.7 /usr/sbin/kamailio[7]: NOTICE: x";
        check(line, "192.0.2.7", "kamailio", Some("7"), "NOTICE: x");
        let line = "<34>1 2026-11-20T08:36:32.003Z pbx.example.net sshd 602 - - Failed x";
        check(line, "pbx.example.net", "sshd", Some("602"), "Failed x");
        let line = "<34>1 2026-11-20T08:36:32.003Z pbx su - ID47 - \u{feff}x";
        check(line, "pbx", "su", None, "x");
        check("Nov 20 08:36:32 pbx a[b]: x", "pbx", "a", None, "x");
    }

    #[test]
    fn what_is_no_line_of_syslog() {
        for line in [
            "",
            "sshd[602]: x",
            "Nov 20 08:36:32 pbx",
            "Nov 20 08:36:32 pbx sshd",
            "Nov 20 08:36:32 pbx sshd x: y",
            "Nov 20 08:36:32 pbx sshd[602 x",
            "Nov 20 08:36:32  sshd[602]: x",
            "Nov 20 08:36:32 [602] sshd: x",
            "<>Nov 20 08:36:32 pbx sshd[602]: x",
            "<34>1 2026-11-20T08:36:32Z pbx sshd 602 - [a b=\"c\"] x",
        ] {
            assert_eq!(syslog(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn the_message_is_the_end_of_the_line(rest: Vec<u8>) {
            let line = [b"Nov 20 08:36:32 pbx sshd[602]: ".as_slice(), &rest].concat();
            prop_assert_eq!(syslog(&line).unwrap().message, &rest);
            let _ = syslog(&rest);
        }
    }
}
