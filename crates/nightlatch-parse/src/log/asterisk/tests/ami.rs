//! The stream of the manager interface: its bounds, and what a client can write into it.

use proptest::prelude::*;

use super::*;
use crate::log::asterisk::ami::{MAX_EVENT, Packet, Stream, is_greeting, login};

const GREETING: &str = "Asterisk Call Manager/9.0.0\r\n";

/// Everything a stream consists of, one packet a line, without sessions.
fn packets(bytes: &[u8], block: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut stream = Stream::new();
    for part in bytes.chunks(block) {
        stream.push(part, |packet| {
            seen.push(match packet {
                Packet::Greeting(text) => format!("greeting {}", text.escape_ascii()),
                Packet::Event(reading, _) => {
                    shown(&reading).split(" session=").next().unwrap().to_owned()
                }
                Packet::Response(response) => {
                    format!("{} {:?}", response.is_success, response.action)
                }
                Packet::TooLong => "too long".to_owned(),
            });
        });
    }
    seen
}

fn check(text: &str, expected: &[&str]) {
    let text = format!("{GREETING}{text}");
    for block in [1, 3, text.len()] {
        let seen = packets(text.as_bytes(), block);
        assert_eq!(seen.first().unwrap(), "greeting Asterisk Call Manager/9.0.0");
        assert_eq!(seen[1..], *expected, "{text:?} in blocks of {block}");
    }
}

fn event(account: &str, call_id: &str) -> String {
    format!(
        "Event: InvalidAccountID\r\nPrivilege: security,all\r\n\
         EventTV: 2026-11-20T08:36:33.597+0000\r\nSeverity: Error\r\nService: PJSIP\r\n\
         EventVersion: 1\r\nAccountID: {account}\r\nSessionID: {call_id}\r\n\
         LocalAddress: IPV4/UDP/198.51.100.1/5060\r\n\
         RemoteAddress: IPV4/UDP/198.51.100.66/5072\r\n\r\n"
    )
}

#[test]
fn responses_and_events() {
    let text = "Response: Error\r\nActionID: 7\r\nMessage: Authentication failed\r\n\r\n";
    check(text, &["false Some([55])"]);
    let seen = "UnknownAccount Claimed Sip 198.51.100.66 5072 account=[9999]";
    check(&event("9999", "a"), &[seen]);
    check(&format!("{}{}", event("9999", "a"), event("9999", "b")), &[seen, seen]);
    // Other events, and those without the privilege.
    let other = "Event: PeerStatus\r\nPrivilege: system,all\r\nPeerStatus: Registered\r\n\r\n";
    check(other, &[]);
    check(&event("1", "a").replace("security,all", "system,all"), &[]);
}

#[test]
fn a_header_of_the_client_is_noticed() {
    let forged = event("x\r\nRemoteAddress: IPV4/UDP/203.0.113.10/1", "a");
    check(&forged, &["Doubtful Sip [203.0.113.10, 198.51.100.66]"]);
    // A line feed alone ends no header.
    let account = "x\nRemoteAddress: IPV4/UDP/203.0.113.10/1";
    let seen = "UnknownAccount Claimed Sip 198.51.100.66 5072 account=[x\\nRemoteAddress: IPV4/UDP/203.0.113.10/1]";
    check(&event(account, "a"), &[seen]);
    // An event that is cut in two names nobody.
    check(&event("x\r\n\r\nEvent: FailedACL", "a"), &[]);
}

#[test]
fn nothing_is_kept_without_bound() {
    let long = event(&"9".repeat(MAX_EVENT), "a");
    let good = "UnknownAccount Claimed Sip 198.51.100.66 5072 account=[1]";
    let text = format!("{GREETING}{long}{}{long}{}", event("1", "a"), event("1", "a"));
    for block in [1_000, MAX_EVENT, 3 * MAX_EVENT] {
        let seen = packets(text.as_bytes(), block);
        assert_eq!(seen[1..], ["too long", good, "too long", good], "{block}");
    }
    assert_eq!(packets(&vec![b'x'; 5 * MAX_EVENT], 100), ["too long"]);
}

#[test]
fn logins() {
    // As Asterisk calculates it: the MD5 of challenge and secret (`printf 12345secret | md5sum`).
    let action = login("nightlatch", "secret", b"12345").unwrap();
    let expected: &[u8] = b"Action: Login\r\nAuthType: MD5\r\nEvents: security\r\n\
        Username: nightlatch\r\nKey: d6bf7523a8407696bb9448d0d0fecca8\r\n\r\n";
    assert_eq!(action, expected);
    assert_eq!(login("a\r\nAction: Logoff", "b", b"1"), None);
    assert_eq!(login("a\nx", "b", b"1"), None);
    assert!(is_greeting(b"Asterisk Call Manager/9.0.0") && !is_greeting(b"SSH-2.0-x"));
}

proptest! {
    #[test]
    fn blocks_do_not_matter(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "\r\n", "\r", "\n", "Event: InvalidAccountID", "Privilege: security,all", "Service: PJSIP",
            "RemoteAddress: IPV4/UDP/198.51.100.66/1", "SessionID: a", ": ", "Response: Success",
        ]), 0..40),
        block in 1_usize..50,
    ) {
        let text = parts.concat();
        prop_assert_eq!(packets(text.as_bytes(), block), packets(text.as_bytes(), text.len().max(1)));
    }
}
