//! Lines of an attacker, made as Asterisk makes them of what he sends: whatever he writes, no line names
//! anybody but him.
//!
//! Two things are not asked for, since no reader of single lines can hold them, see the module: line feeds
//! in accounts of chan_sip, in names of IAX2 and in dialled numbers; and, of escape characters that Asterisk
//! deletes in text, in a NOTICE about SIP only that it proves nothing.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::log::Outcome;
use crate::log::asterisk::ami::{Packet, Stream};

const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66));
/// Whose line follows, where the attacker has deleted a line end.
const NEXT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const LOCAL: &str = "\",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\",RemoteAddress=\"IPV4/UDP/";
const LOCAL_TCP: &str = "\",LocalAddress=\"IPV4/TCP/0.0.0.0/5038\",RemoteAddress=\"IPV4/TCP/";
const NEXT_LINE: &str = "[2026-11-20 08:36:33] SECURITY[3085] res_security_log.c: \
    SecurityEvent=\"ChallengeSent\",EventTV=\"2026-11-20T08:36:33.000+0000\",\
    Severity=\"Informational\",Service=\"SIP\",EventVersion=\"1\",AccountID=\"7\",\
    SessionID=\"0x7f0000000007\",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\",\
    RemoteAddress=\"IPV4/UDP/192.0.2.7/5060\",Challenge=\"12345678\"";

/// What an attacker builds his texts of.
const PIECES: [&[u8]; 63] = [
    b"\"",
    b"\\",
    b"\\\"",
    b"'",
    b",",
    b"=",
    b"<",
    b">",
    b")",
    b"(",
    b" ",
    b":",
    b"@",
    b"m",
    b"x",
    b"/",
    b"1001",
    b"\x1b",
    b"\x1b[31m",
    b"\x1b[",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\",RemoteAddress=\"IPV4/UDP/203.0.113.10/5060",
    b"\",LocalAddress=\"IPV4/TCP/0.0.0.0/5038\",RemoteAddress=\"IPV4/TCP/203.0.113.10/1",
    b",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\"",
    b"\",RemoteAddress=\"",
    b",RemoteAddress=\"IPV4/UDP/203.0.113.10/5060\"",
    b"oteAddress=\"",
    b"IPV4/TCP/203.0.113.10/5060",
    b"IPV6/TLS/2001:db8::10/5060",
    b"\",SessionID=\"0x1",
    b"\",AccountID=\"",
    b"\",Challenge=\"a",
    b"\",Response=\"b",
    b"\",ExpectedResponse=\"",
    b"\",ReceivedChallenge=\"a",
    b"\",ReceivedHash=\"b",
    b"\",ACLName=\"c",
    b"\",UsingPassword=\"1",
    b"\",SessionTV=\"d",
    b"\",RequestType=\"e",
    b"SecurityEvent=\"ChallengeSent\"",
    b"203.0.113.10",
    b"' failed for '203.0.113.10:5060' (callid: ",
    b"' failed for '203.0.113.10:5060' - Wrong password",
    b") - Failed to authenticate",
    b"\" <sip:1@h>",
    b"' (from 203.0.113.10)",
    b" failed to authenticate as '",
    b"' (203.0.113.10:1) to extension '",
    b"\r\nRemoteAddress: IPV4/UDP/203.0.113.10/1",
    b"\n[2026-11-20 08:36:32] NOTICE[1] manager.c: 203.0.113.10 failed to authenticate as 'a'\n",
    b"\nERROR[1] chan_sip.c: Call from '",
    b"\nERROR[1] res_pjsip_session.c: ",
    b": Call (TCP:203.0.113.10:1) to extension '",
    b"' (203.0.113.10:1) to extension '1",
    b"' rejected because extension not found in context 'a'.",
    b"\nERROR[1] chan_iax2.c: Peer '",
    b"' is not dynamic (from 203.0.113.10)",
];

/// Random numbers that are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % end as u64).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any text, sometimes a long one.
    fn text(&mut self) -> Vec<u8> {
        let count = self.below(9);
        let mut text: Vec<u8> = (0..count).flat_map(|_| self.one(&PIECES).to_vec()).collect();
        if self.below(500) == 0 {
            let place = self.below(text.len() + 1);
            let length = self.one(&[4_000, 7_900, 8_191, 65_536]);
            text.splice(place..place, vec![b'A'; length]);
        }
        text
    }

    /// A text of a header: without line ends.
    fn header(&mut self) -> Vec<u8> {
        let text = self.text();
        text.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
    }

    /// The inside of a quoted string, as chan_pjsip leaves it, cut at `longest`.
    fn quoted(&mut self, longest: usize) -> Vec<u8> {
        let mut quoted = Vec::new();
        let mut bytes = self.header().into_iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => quoted.extend([byte, bytes.next().unwrap_or(b'x')]),
                b'"' => quoted.extend(b"\\\""),
                _ => quoted.push(byte),
            }
        }
        cut(quoted, longest)
    }

    /// A value of a digest as chan_sip reads it: quoted, or up to a comma.
    fn digest(&mut self) -> Vec<u8> {
        let end = self.one(b"\",");
        self.header().into_iter().take_while(|byte| *byte != end).collect()
    }

    /// A user as chan_pjsip prints it: escaped.
    fn user(&mut self) -> String {
        let user = cut(self.header(), 60);
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte);
        user.iter().fold(String::new(), |text, byte| match is_plain(*byte) {
            true => text + &char::from(*byte).to_string(),
            false => text + &format!("%{byte:02X}"),
        })
    }
}

fn cut(mut text: Vec<u8>, longest: usize) -> Vec<u8> {
    text.truncate(longest);
    text
}

/// A line of a log before it is framed.
struct Made {
    file: &'static str,
    level: &'static str,
    message: Vec<u8>,
    /// Escape characters can delete the true address: then it must prove nothing.
    is_erasable: bool,
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An event of the security channel: name, service, account and session, address, and what follows.
fn event(random: &mut Random) -> (&'static str, &'static str, Vec<u8>, Vec<u8>, Vec<u8>) {
    match random.below(3) {
        0 => {
            let account = cut(random.text(), 36);
            let names = [
                "InvalidAccountID",
                "ChallengeSent",
                "FailedACL",
                "ChallengeResponseFailed",
                "SuccessfulAuth",
            ];
            let name = random.one(&names);
            let tail = match name {
                "ChallengeSent" => b",Challenge=\"\"".to_vec(),
                "FailedACL" => b",ACLName=\"not_match_endpoint_acl\"".to_vec(),
                "SuccessfulAuth" => b",UsingPassword=\"1\"".to_vec(),
                "ChallengeResponseFailed" => joined(&[
                    b",Challenge=\"",
                    &random.quoted(63),
                    b"\",Response=\"",
                    &random.quoted(255),
                    b"\",ExpectedResponse=\"\"",
                ]),
                _ => Vec::new(),
            };
            (name, "PJSIP", account, random.header(), tail)
        }
        1 => {
            let names = ["InvalidAccountID", "ChallengeSent", "FailedACL", "InvalidPassword"];
            let name = random.one(&names);
            let tail = match name {
                "ChallengeSent" => b",Challenge=\"7af34105\"".to_vec(),
                "FailedACL" => b",ACLName=\"device_must_match_acl\"".to_vec(),
                "InvalidPassword" => joined(&[
                    b",Challenge=\"7af34105\",ReceivedChallenge=\"",
                    &random.digest(),
                    b"\",ReceivedHash=\"",
                    &random.digest(),
                    b"\"",
                ]),
                _ => Vec::new(),
            };
            (name, "SIP", random.header(), b"0x7f3598010d60".to_vec(), tail)
        }
        _ => {
            let time = b",SessionTV=\"1970-01-01T00:00:00.000+0000\"";
            let action = joined(&[
                b",RequestType=\"",
                &cut(joined(&[b"Action: ", &random.header()]), 63),
                b"\"",
                time,
            ]);
            let session = b"0x7f3580001720".to_vec();
            match random.below(4) {
                0 => ("InvalidAccountID", "AMI", random.header(), session, time.to_vec()),
                1 => ("RequestNotAllowed", "AMI", Vec::new(), session, action),
                2 => ("RequestBadFormat", "AMI", Vec::new(), session, action),
                _ => {
                    let response = joined(&[
                        b",Challenge=\"123\",Response=\"",
                        &random.header(),
                        b"\",ExpectedResponse=\"0123\"",
                        time,
                    ]);
                    ("ChallengeResponseFailed", "AMI", Vec::new(), session, response)
                }
            }
        }
    }
}

fn security(random: &mut Random) -> Made {
    let (name, service, account, session, tail) = event(random);
    let beginning = format!(
        "SecurityEvent=\"{name}\",EventTV=\"2026-11-20T08:36:32.581+0000\",Severity=\"Error\",\
         Service=\"{service}\",EventVersion=\"1\","
    );
    let account = match name {
        "RequestBadFormat" => Vec::new(),
        _ => joined(&[b"AccountID=\"", &account, b"\","]),
    };
    let local = if service == "AMI" { LOCAL_TCP } else { LOCAL };
    let message = joined(&[
        beginning.as_bytes(),
        &account,
        b"SessionID=\"",
        &session,
        local.as_bytes(),
        b"198.51.100.66/5071\"",
        &tail,
    ]);
    Made { file: "res_security_log.c", level: "SECURITY", message, is_erasable: false }
}

fn message(random: &mut Random) -> Made {
    let mut is_erasable = false;
    let (file, message) = match random.below(7) {
        0 => {
            is_erasable = true;
            let display = match random.below(2) {
                0 => Vec::new(),
                _ => joined(&[b"\"", &random.quoted(120), b"\" "]),
            };
            let reason = random.one(&["Failed to authenticate", "No matching endpoint found"]);
            let message = joined(&[
                b"Request 'REGISTER' from '",
                &display,
                b"<sip:",
                random.user().as_bytes(),
                b"@h>' failed for '198.51.100.66:5071' (callid: ",
                &cut(random.header(), 255),
                b") - ",
                reason.as_bytes(),
            ]);
            ("res_pjsip/pjsip_distributor.c", message)
        }
        1 => {
            is_erasable = true;
            let reason = random.one(&["Wrong password", "No matching peer found"]);
            let message = joined(&[
                b"Registration from '",
                &random.header(),
                b"' failed for '198.51.100.66:5071' - ",
                reason.as_bytes(),
            ]);
            ("chan_sip.c", message)
        }
        2 => (
            "chan_sip.c",
            joined(&[
                b"Call from '' (198.51.100.66:5076) to extension '",
                &random.header(),
                b"' rejected because extension not found in context 'public'.",
            ]),
        ),
        3 => (
            "res_pjsip_session.c",
            joined(&[
                b" 1001: Call (UDP:198.51.100.66:5070) to extension '",
                &cut(random.header(), 79),
                b"' rejected because extension not found in context 'internal'.",
            ]),
        ),
        4 => (
            "chan_iax2.c",
            joined(&[b"No registration for peer '", &random.header(), b"' (from 198.51.100.66)"]),
        ),
        5 => {
            let text = random.one(&[
                "failed to authenticate as '",
                "tried to authenticate with nonexistent user '",
            ]);
            ("manager.c", joined(&[b"198.51.100.66 ", text.as_bytes(), &random.header(), b"'"]))
        }
        _ => (
            "res_pjsip_registrar.c",
            joined(&[
                b"AOR '",
                &random.header(),
                b"' not found for endpoint '1001' (198.51.100.66:5076)",
            ]),
        ),
    };
    Made { file, level: "NOTICE", message, is_erasable }
}

/// What Asterisk does to lines of text: it deletes from an escape character to the next `m`, or all.
fn stripped(line: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b => drop(bytes.find(|byte| **byte == b'm')),
            _ => kept.push(*byte),
        }
    }
    cut(kept, 8_191)
}

/// The lines that a reader of the log gets.
fn framed(random: &mut Random, made: &Made) -> Vec<Vec<u8>> {
    let Made { file, level, message, .. } = made;
    let file_line = joined(&[
        format!("[2026-11-20 08:36:32] {level}[3050] {file}: ").as_bytes(),
        message,
        b"\n",
    ]);
    let syslog = joined(&[
        format!("Nov 20 08:36:32 pbx asterisk[9]: {level}[3050]: {file}:1 in f: ").as_bytes(),
        message,
    ]);
    let text = match random.below(4) {
        0 => joined(&[&stripped(&file_line), NEXT_LINE.as_bytes(), b"\n"]),
        1 => file_line,
        // Syslog and the journal keep a message together.
        2 => return vec![stripped(&syslog)],
        _ => {
            let message = serde_json::to_string(&String::from_utf8_lossy(message)).unwrap();
            return vec![format!(
                "{{\"hostname\":\"\",\"timestamp\":\"2026-11-20 08:36:32\",\"identifiers\":\
                 {{\"lwp\":3050,\"callid\":\"\"}},\"logmsg\":{{\"location\":{{\"filename\":\"{file}\",\
                 \"function\":\"f\",\"line\":1}},\"level\":\"{level}\",\"message\":{message}}}}}"
            )
            .into_bytes()];
        }
    };
    text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Whether a reading accuses nobody else.
fn is_just(made: &Made, reading: &Reading<'_>) -> bool {
    let Reading::Attempt(attempt) = reading else {
        return true;
    };
    match attempt.source {
        ATTACKER => true,
        // His own line, which is no failure.
        NEXT => attempt.outcome == Outcome::Challenged,
        _ => made.is_erasable && made.message.contains(&0x1b) && attempt.proof == Proof::Claimed,
    }
}

/// Makes lines; the number of those that accuse the attacker.
fn trial(random: &mut Random, lines: usize) -> usize {
    let mut accusing = 0;
    for _ in 0..lines {
        let made = if random.below(2) == 0 { security(random) } else { message(random) };
        for line in framed(random, &made) {
            let Some(reading) = read(&line) else {
                continue;
            };
            assert!(is_just(&made, &reading), "{}\n{reading:?}", line.escape_ascii());
            accusing += usize::from(
                matches!(&reading, Reading::Attempt(attempt) if attempt.source == ATTACKER),
            );
        }
    }
    accusing
}

/// Makes events of the manager interface; the number of those that accuse the attacker.
fn manager_trial(random: &mut Random, events: usize) -> usize {
    let mut accusing = 0;
    let mut stream = Stream::new();
    stream.push(b"Asterisk Call Manager/9.0.0\r\n", |_| ());
    for _ in 0..events {
        let (name, service, account, session, tail) = event(random);
        let mut fields = vec![joined(&[b"Event: ", name.as_bytes()])];
        fields.extend([
            b"Privilege: security,all".to_vec(),
            joined(&[b"Service: ", service.as_bytes()]),
        ]);
        if name != "RequestBadFormat" {
            fields.push(joined(&[b"AccountID: ", &account]));
        }
        fields.push(joined(&[b"SessionID: ", &session]));
        fields.push(b"LocalAddress: IPV4/UDP/198.51.100.1/5060".to_vec());
        fields.push(b"RemoteAddress: IPV4/UDP/198.51.100.66/5071".to_vec());
        fields.push(joined(&[b"Response: ", &tail]));
        let packet = joined(&[&fields.join(&b"\r\n"[..]), b"\r\n\r\n"]);
        stream.push(&packet, |packet_read| {
            let Packet::Event(Reading::Attempt(attempt), _) = packet_read else {
                return;
            };
            assert_eq!(attempt.source, ATTACKER, "{}", packet.escape_ascii());
            accusing += 1;
        });
    }
    accusing
}

/// With NIGHTLATCH_HOSTILE_LINES=1000000 so many lines, and events of the manager interface.
#[test]
fn most_lines_accuse_the_attacker() {
    let count = std::env::var("NIGHTLATCH_HOSTILE_LINES").map_or(20_000, |it| it.parse().unwrap());
    let mut random = Random(1);
    let accusing = trial(&mut random, count);
    assert!(accusing > count / 2, "{accusing} of {count}");
    let accusing = manager_trial(&mut random, count);
    assert!(accusing > count / 4 * 3, "{accusing} of {count}");
}

proptest! {
    #[test]
    fn nobody_else_is_accused(seed: u64) {
        trial(&mut Random(seed), 50);
        manager_trial(&mut Random(seed), 50);
    }

    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = read(&bytes);
        let _ = thread(&bytes);
        Stream::new().push(&bytes, |_| ());
    }
}
