//! Events of the security channel that no capture has, and hostile ones.

use super::genuine::json;
use super::*;

const BEGINNING: &str = "[2026-11-20 08:36:32] SECURITY[3085] res_security_log.c: SecurityEvent=\"";
const TIME: &str = "\",EventTV=\"2026-11-20T08:36:32.581+0100\",Severity=\"Error\",Service=\"";
const LOCAL: &str = "\",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\",RemoteAddress=\"";
const REMOTE: &str = "IPV4/UDP/198.51.100.66/5071\"";
const TCP: &str = "IPV4/TCP/198.51.100.66/5071\"";

/// A line of an event: everything from the account on is `rest`.
fn line(event: &str, service: &str, rest: &str) -> String {
    format!("{BEGINNING}{event}{TIME}{service}\",EventVersion=\"1\",{rest}")
}

/// What a line says, without its session.
fn said(line: &str) -> String {
    let shown = read(line.as_bytes()).map_or("-".to_owned(), |reading| shown(&reading));
    shown.split(" session=").next().unwrap().to_owned()
}

/// As text and as JSON.
fn check(event: &str, service: &str, rest: &str, expected: &str) {
    let line = line(event, service, rest);
    assert_eq!(said(&line), expected, "{line}");
    let json = json(&line);
    let without_account = |text: &str| text.split(" account=").next().unwrap().to_owned();
    assert_eq!(without_account(&said(&json)), without_account(expected), "{json}");
}

#[test]
fn every_event() {
    let check = |event: &str, remote: &str, tail: &str, expected: &str| {
        let rest = format!("AccountID=\"1001\",SessionID=\"a{LOCAL}{remote}{tail}");
        check(event, "PJSIP", &rest, &format!("{expected} Sip 198.51.100.66 5071 account=[1001]"));
    };
    check("FailedACL", REMOTE, "", "NotAllowed Claimed");
    check(
        "FailedACL",
        REMOTE,
        ",ACLName=\"registrar_invalid_uri_in_to_received\"",
        "NotAllowed Claimed",
    );
    check("InvalidAccountID", REMOTE, ",Module=\"m\"", "UnknownAccount Claimed");
    check("InvalidAccountID", TCP, "", "UnknownAccount Answered");
    check("SessionLimit", REMOTE, "", "TooMany Claimed");
    check("MemoryLimit", REMOTE, "", "TooMany Claimed");
    check("LoadAverageLimit", REMOTE, "", "TooMany Claimed");
    check(
        "RequestNotSupported",
        REMOTE,
        ",RequestType=\"registrar_requested_aor_not_found\"",
        "NotAllowed Claimed",
    );
    check(
        "RequestNotAllowed",
        REMOTE,
        ",RequestType=\"r\",RequestParams=\"p\"",
        "NotAllowed Claimed",
    );
    check("AuthMethodNotAllowed", REMOTE, ",AuthMethod=\"m\"", "NotAllowed Claimed");
    check("SuccessfulAuth", REMOTE, ",UsingPassword=\"1\"", "Succeeded Answered");
    check("SuccessfulAuth", REMOTE, ",UsingPassword=\"0\"", "Succeeded Claimed");
    check(
        "UnexpectedAddress",
        REMOTE,
        ",ExpectedAddress=\"IPV4/UDP/203.0.113.10/1\"",
        "NotAllowed Claimed",
    );
    let tail = ",Challenge=\"1/a\",Response=\"b\",ExpectedResponse=\"\"";
    check("ChallengeResponseFailed", REMOTE, tail, "WrongPassword Claimed");
    check("ChallengeResponseFailed", TCP, tail, "WrongPassword Answered");
    check("InvalidPassword", REMOTE, "", "WrongPassword Claimed");
    check("ChallengeSent", REMOTE, ",Challenge=\"\"", "Challenged Claimed");
    check("InvalidTransport", REMOTE, ",AttemptedTransport=\"UDP\"", "NotAllowed Claimed");
    let rest = format!("SessionID=\"a{LOCAL}{REMOTE},RequestType=\"r\",AccountID=\"1001\"");
    super::security::check(
        "RequestBadFormat",
        "PJSIP",
        &rest,
        "Malformed Claimed Sip 198.51.100.66 5071 account=[1001]",
    );
}

#[test]
fn addresses() {
    let check = |remote: &str, expected: &str| {
        let rest = format!("AccountID=\"1\",SessionID=\"a{LOCAL}{remote}\"");
        super::security::check("InvalidAccountID", "PJSIP", &rest, expected);
    };
    check("IPV6/UDP/2001:db8::66/5071", "UnknownAccount Claimed Sip 2001:db8::66 5071 account=[1]");
    check(
        "IPV6/WSS/2001:db8::66/5071",
        "UnknownAccount Answered Sip 2001:db8::66 5071 account=[1]",
    );
    check("IPV4/198.51.100.66/5071", "UnknownAccount Claimed Sip 198.51.100.66 5071 account=[1]");
    for wrong in [
        "IPV4/UDP/2001:db8::66/1",
        "IPV6/UDP/198.51.100.66/1",
        "IPV4/UDP/198.51.100.66",
        "",
        "(null)",
    ] {
        check(wrong, "-");
    }
}

#[test]
fn a_call_id_cannot_name_the_source() {
    let forged = "x\",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\",RemoteAddress=\"IPV4/UDP/203.0.113.10/5060";
    let tail = ",Challenge=\"1/a\",Response=\"b\",ExpectedResponse=\"\"";
    for call_id in [
        forged.to_owned(),
        format!("{forged}\",Challenge=\"1/a\",Response=\"b\",ExpectedResponse=\""),
        format!("{forged}\",Challenge=\"1/a\",Response=\"b\\"),
        format!("{forged}\\"),
        "x\",RemoteAddress=\"IPV4/UDP/203.0.113.10/5060\"".to_owned(),
    ] {
        let rest = format!("AccountID=\"1\",SessionID=\"{call_id}{LOCAL}{REMOTE}{tail}");
        let expected = "WrongPassword Claimed Sip 198.51.100.66 5071 account=[1]";
        check("ChallengeResponseFailed", "PJSIP", &rest, expected);
    }
}

#[test]
fn a_response_cannot_name_the_source() {
    // chan_pjsip keeps the backslash before a quote.
    let forged = LOCAL.replace('"', "\\\"") + "IPV4/UDP/203.0.113.10/5060\\\"";
    let tail = format!(",Challenge=\"1/a\",Response=\"b{forged}\",ExpectedResponse=\"\"");
    let rest = format!("AccountID=\"1\",SessionID=\"a{LOCAL}{REMOTE}{tail}");
    let expected = "WrongPassword Claimed Sip 198.51.100.66 5071 account=[1]";
    check("ChallengeResponseFailed", "PJSIP", &rest, expected);
}

#[test]
fn what_an_escape_character_deletes_is_noticed() {
    // From the escape character in the Call-ID to the `m` of the true `RemoteAddress`.
    let forged = "x\",LocalAddress=\"IPV4/UDP/198.51.100.1/5060\",RemoteAddress=\"IPV4/UDP/203.0.113.10/5060\",Challenge=\"";
    let rest = format!(
        "AccountID=\"1\",SessionID=\"{forged}oteAddress=\"{REMOTE},Challenge=\"1/a\",Response=\"b\",ExpectedResponse=\"\""
    );
    check("ChallengeResponseFailed", "PJSIP", &rest, "Doubtful Sip [203.0.113.10]");
    // In the response, with the line end: the next event belongs to somebody else.
    let next = line(
        "ChallengeSent",
        "PJSIP",
        &format!("AccountID=\"2\",SessionID=\"b{LOCAL}IPV4/UDP/203.0.113.10/5060\",Challenge=\"\""),
    );
    let rest = format!(
        "AccountID=\"1\",SessionID=\"a{LOCAL}{REMOTE},Challenge=\"1/a\",Response=\"b{next}"
    );
    check("ChallengeResponseFailed", "PJSIP", &rest, "Doubtful Sip [198.51.100.66, 203.0.113.10]");
    // Without the line end: nobody else is named.
    let rest =
        format!("AccountID=\"1\",SessionID=\"a{LOCAL}{REMOTE},Challenge=\"1/a\",Response=\"b");
    check(
        "ChallengeResponseFailed",
        "PJSIP",
        &rest,
        "WrongPassword Claimed Sip 198.51.100.66 5071 account=[1]",
    );
}

#[test]
fn manager() {
    let local = "\",LocalAddress=\"IPV4/TCP/0.0.0.0/5038\",RemoteAddress=\"";
    let time = ",SessionTV=\"1970-01-01T00:00:00.000+0000\"";
    let check = |event: &str, rest: &str, expected: &str| {
        check(event, "AMI", rest, expected);
    };
    let forged = format!("foo\",SessionID=\"0x1{local}IPV4/TCP/203.0.113.10/1");
    // Of a user name, before the address.
    check(
        "InvalidAccountID",
        &format!("AccountID=\"{forged}\",SessionID=\"0x7f{local}{TCP}{time}"),
        "UnknownAccount Answered Ami 198.51.100.66 5071 account=[foo]",
    );
    // Of an action, behind the address.
    check(
        "RequestNotAllowed",
        &format!(
            "AccountID=\"\",SessionID=\"0x7f{local}{TCP},RequestType=\"Action: {forged}\"{time}"
        ),
        "NotAllowed Answered Ami 198.51.100.66 5071",
    );
    check(
        "RequestBadFormat",
        &format!("SessionID=\"0x7f{local}{TCP},RequestType=\"Action: {forged}\"{time}"),
        "Malformed Answered Ami 198.51.100.66 5071",
    );
    check(
        "ChallengeResponseFailed",
        &format!(
            "AccountID=\"\",SessionID=\"0x7f{local}{TCP},Challenge=\"1\",Response=\"{forged}\",ExpectedResponse=\"b\"{time}"
        ),
        "WrongPassword Answered Ami 198.51.100.66 5071",
    );
    // A program that is logged in and may not do everything.
    check(
        "RequestNotAllowed",
        &format!(
            "AccountID=\"monitor\",SessionID=\"0x7f{local}{TCP},RequestType=\"Action: Originate\"{time}"
        ),
        "-",
    );
}

#[test]
fn of_other_services_an_address_must_be_the_only_one() {
    let rest = |call_id: &str| format!("AccountID=\"1\",SessionID=\"{call_id}{LOCAL}{REMOTE}");
    check(
        "InvalidAccountID",
        "NEW",
        &rest("a"),
        "UnknownAccount Claimed Other 198.51.100.66 5071 account=[1]",
    );
    check(
        "InvalidAccountID",
        "NEW",
        &rest("a\",RemoteAddress=\"IPV4/UDP/203.0.113.10/1"),
        "Doubtful Other [203.0.113.10, 198.51.100.66]",
    );
    check("Unheard", "PJSIP", &rest("a"), "-");
}

#[test]
fn sessions() {
    let session = |line: &str| match read(line.as_bytes()) {
        Some(Reading::Attempt(attempt)) => attempt.session.unwrap().to_vec(),
        other => panic!("{other:?}"),
    };
    // chan_sip uses pointers again: with another challenge it is another guess.
    let guess = |event: &str, nonce: &str, tail: &str| {
        let rest =
            format!("AccountID=\"1\",SessionID=\"0x7f{LOCAL}{REMOTE},Challenge=\"{nonce}\"{tail}");
        session(&line(event, "SIP", &rest))
    };
    let answer = ",ReceivedChallenge=\"aa\",ReceivedHash=\"h\"";
    assert_eq!(guess("ChallengeSent", "aa", ""), guess("InvalidPassword", "aa", answer));
    assert_ne!(guess("ChallengeSent", "aa", ""), guess("InvalidPassword", "bb", answer));
    // chan_pjsip's is the Call-ID, as in messages.
    let rest = format!("AccountID=\"1\",SessionID=\"a{LOCAL}{REMOTE}");
    assert_eq!(session(&line("InvalidAccountID", "PJSIP", &rest)), b"a");
}
