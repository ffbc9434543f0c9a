//! Lines that Asterisk 20 wrote, in all the frames in which it may write them.

use std::fs;
use std::path::Path;

use super::*;
use crate::log::asterisk::ami::{Packet, Stream};

const MESSAGES: &str = include_str!("../captures/messages.log");
const SECURITY: &str = include_str!("../captures/security.log");
const AMI: &[u8] = include_bytes!("../captures/ami.txt");

/// The lines of a capture; those of hashes say which case follows.
fn lines(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| !line.starts_with("###") && !line.is_empty())
}

/// A reading in a line, `-` for none.
fn shown_or_none(reading: Option<Reading<'_>>) -> String {
    reading.map_or("-".to_owned(), |reading| shown(&reading))
}

/// Compares with the file of a capture's readings; writes it where NIGHTLATCH_UPDATE_SNAPSHOTS is set.
fn compare(name: &str, seen: &str) {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log/asterisk/captures");
    let path = captures.join(name).with_extension("expected");
    if std::env::var_os("NIGHTLATCH_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, seen).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (seen, expected) in seen.lines().zip(expected.lines()) {
        assert_eq!(seen, expected, "{name}");
    }
    assert_eq!(seen.lines().count(), expected.lines().count(), "{name}");
}

fn readings(log: &str) -> String {
    lines(log).map(|line| shown_or_none(read(line.as_bytes())) + "\n").collect()
}

#[test]
fn messages() {
    compare("messages", &readings(MESSAGES));
}

#[test]
fn security() {
    compare("security", &readings(SECURITY));
}

#[test]
fn manager_events() {
    for block in [1, 7, 1000, AMI.len()] {
        let mut seen = String::new();
        let mut stream = Stream::new();
        for part in AMI.chunks(block) {
            stream.push(part, |packet| match packet {
                Packet::Event(reading, _) => seen += &format!("{}\n", shown(&reading)),
                Packet::Greeting(text) => seen += &format!("Greeting {}\n", text.escape_ascii()),
                Packet::Response(response) => {
                    let message = response.message.unwrap().escape_ascii();
                    seen += &format!("Response {} {message}\n", response.is_success);
                }
                Packet::TooLong => seen += "too long\n",
            });
        }
        compare("ami", &seen);
    }
}

/// A line of a capture: its moment, level, thread, file and message.
fn parts(line: &str) -> (&str, &str, &str, &str, &str) {
    let (moment, rest) = line[1..].split_once("] ").unwrap();
    let (level, rest) = rest.split_once('[').unwrap();
    let (thread, rest) = rest.split_once(']').unwrap();
    let rest = rest.strip_prefix("[C-00000002]").unwrap_or(rest);
    let (file, message) = rest.trim_start().split_once(": ").unwrap();
    (moment, level, thread, file, message)
}

/// The same line as Asterisk writes it elsewhere.
fn variants(line: &str) -> Vec<String> {
    let (_, level, thread, file, message) = parts(line);
    let short = format!("{level}[{thread}] {file}: {message}");
    let syslog = format!("{level}[{thread}]: {file}:23417 in handle_request_register: {message}");
    let call = format!("{level}[{thread}][C-0000a002]");
    let colour = format!(
        "\x1b[1;33m{level}\x1b[0m[{thread}]: \x1b[1;37m{file}\x1b[0m:\x1b[1;37m114\x1b[0m \
         \x1b[1;37mauthenticate\x1b[0m: {message}"
    );
    vec![
        format!("[Nov 20 08:36:32] {short}"),
        format!("[Nov  1 08:36:32.123] {short}"),
        format!("[2026-11-20 08:36:32.123] {short}"),
        format!("[2026-11-20T08:36:32.123+0000] {short}"),
        format!("  [2026-11-20 08:36:32]  {short}\r"),
        format!("[2026-11-20 08:36:32] {call} {file}: {message}"),
        format!("[2026-11-20 08:36:32] {level}[{thread}]: {file}:114 authenticate: {message}"),
        format!("[Nov 20 08:36:32] {colour}"),
        colour,
        format!("Nov 20 08:36:32 pbx asterisk[123]: {syslog}"),
        format!("Nov  2 08:36:32 pbx.example.net asterisk: {syslog}"),
        format!("2026-11-20T08:36:32.123456+01:00 pbx asterisk[123]: {syslog}"),
        format!("2026-11-20T08:36:32Z pbx asterisk[123]: {call}: {file}:1 in f: {message}"),
        syslog,
        short,
    ]
}

/// A reading without what a frame changes.
fn without_frame(line: &str, reading: Option<Reading<'_>>) -> String {
    let shown = shown_or_none(reading);
    match parts(line).3 {
        // The session of these is the beginning of the line.
        "acl.c" | "manager.c" => shown.split(" session=").next().unwrap().to_owned(),
        _ => shown,
    }
}

#[test]
fn every_frame() {
    for line in lines(MESSAGES).chain(lines(SECURITY)) {
        let expected = without_frame(line, read(line.as_bytes()));
        for variant in variants(line) {
            let reading = read(variant.as_bytes());
            assert_eq!(without_frame(line, reading), expected, "{variant}");
            assert_eq!(thread(variant.as_bytes()), thread(line.as_bytes()), "{variant}");
        }
        let other = line.replace("NOTICE[", "VERBOSE[").replace("SECURITY[", "DEBUG[");
        if other != line {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        let foreign = format!("Nov 20 08:36:32 pbx logger[123]: {}", &line[22..]);
        assert_eq!(read(foreign.as_bytes()), None, "{foreign}");
    }
}

/// The line as an object of JSON.
pub(super) fn json(line: &str) -> String {
    let (moment, level, thread, file, message) = parts(line);
    format!(
        "{{\"hostname\":\"\",\"timestamp\":\"{moment}\",\"identifiers\":{{\"lwp\":{thread},\
         \"callid\":\"\"}},\"logmsg\":{{\"location\":{{\"filename\":\"{file}\",\"function\":\"f\",\
         \"line\":114}},\"level\":\"{level}\",\"message\":{}}}}}",
        serde_json::to_string(message).unwrap()
    )
}

#[test]
fn as_json() {
    for line in lines(MESSAGES).chain(lines(SECURITY)) {
        let json = json(line);
        let (text, object) = (read(line.as_bytes()), read(json.as_bytes()));
        let (Some(Reading::Attempt(text)), Some(Reading::Attempt(object))) = (&text, &object)
        else {
            assert_eq!(shown_or_none(object), shown_or_none(text), "{json}");
            continue;
        };
        let bare = |attempt: &Attempt<'_>| {
            let Attempt { stamp, source, port, service, outcome, .. } = *attempt;
            (stamp, source, port, service, outcome)
        };
        assert_eq!(bare(object), bare(text), "{json}");
        assert!(object.proof >= text.proof, "{json}");
        if !line.contains("RemoteAddress=\"IPV4/UDP/203.0.1") && text.service == Service::Sip {
            assert_eq!(object.account, text.account, "{json}");
        }
    }
}

#[test]
fn of_chan_sip_only_json_proves_something() {
    let proven = |needle: &str| {
        let line = lines(SECURITY).find(|line| line.contains(needle)).unwrap().to_owned();
        let object = json(&line);
        let proof = |line: &str| match read(line.as_bytes()) {
            Some(Reading::Attempt(attempt)) => attempt.proof,
            other => panic!("{other:?}"),
        };
        assert_eq!(proof(&line), Proof::Claimed);
        proof(&object)
    };
    assert_eq!(proven("InvalidPassword"), Proof::Answered);
    assert_eq!(proven("InvalidAccountID"), Proof::Claimed);
    assert_eq!(proven("SuccessfulAuth\",EventTV=\"2026-11-20T08:37:34"), Proof::Answered);
}

/// The line as an event of the manager interface; `None` where a client has written into it.
fn manager_event(line: &str) -> Option<Vec<u8>> {
    let message = parts(line).4.trim_end();
    let fields: Vec<(&str, &str)> =
        message.split("\",").filter_map(|field| field.split_once("=\"")).collect();
    let is_plain = message.matches('"').count() == 2 * fields.len();
    if !is_plain || message.matches("RemoteAddress=").count() > 1 {
        return None;
    }
    let (_, name) = fields.first()?;
    let mut event = format!("Event: {name}\r\nPrivilege: security,all\r\n");
    for (name, value) in fields.iter().skip(1) {
        event += &format!("{name}: {}\r\n", value.trim_end_matches('"'));
    }
    Some(format!("{event}\r\n").into_bytes())
}

/// What is read in several forms counts once.
#[test]
fn an_attempt_has_one_session_in_every_form() {
    let session = |reading: &Option<Reading<'_>>| match reading {
        Some(Reading::Attempt(attempt)) => attempt.session.map(<[u8]>::to_vec),
        _ => None,
    };
    let mut services = Vec::new();
    for line in lines(SECURITY) {
        let (Some(event), text) = (manager_event(line), read(line.as_bytes())) else { continue };
        let Some(Reading::Attempt(attempt)) = &text else { continue };
        let (service, expected) = (attempt.service, session(&text));
        assert!(expected.is_some(), "{line}");
        assert_eq!(session(&read(json(line).as_bytes())), expected, "{line}");
        let mut stream = Stream::new();
        stream.push(b"Asterisk Call Manager/9.0.0\r\n", |_| ());
        let mut found = None;
        stream.push(&event, |packet| {
            if let Packet::Event(reading, _) = packet {
                found = session(&Some(reading));
            }
        });
        assert_eq!(found, expected, "{line}");
        services.push(service);
    }
    for service in [Service::Sip, Service::Ami] {
        assert!(services.iter().filter(|it| **it == service).count() > 0, "{service:?}");
    }
}
