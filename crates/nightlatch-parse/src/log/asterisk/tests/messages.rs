//! Messages that no capture has, and the traps in them.

use super::*;

/// What a message says, `-` for nothing; the beginning of the line is that of a file.
fn check(file: &str, message: &str, expected: &str) {
    let line = format!("[2026-11-20 08:36:32] NOTICE[3050] {file}: {message}");
    let shown = read(line.as_bytes()).map_or("-".to_owned(), |reading| shown(&reading));
    assert_eq!(shown, expected, "{line}");
}

#[test]
fn pjsip_requests() {
    let check = |message: &str, expected: &str| {
        check("res_pjsip/pjsip_distributor.c", message, expected);
    };
    check(
        "Request 'REGISTER' from '<sip:1@x>' failed for '[2001:db8::66]:5060' (callid: a) - No matching endpoint found after 5 tries in 2.500 ms",
        "UnknownAccount Claimed Sip 2001:db8::66 5060 account=[1] session=[a]",
    );
    // The Call-ID names another address, and the From has no place for one: the first is the true one.
    check(
        "Request 'REGISTER' from '<sip:1@x>' failed for '198.51.100.66:1' (callid: x) q' failed for '203.0.113.10:5060' (callid: z) - Failed to authenticate",
        "WrongPassword Claimed Sip 198.51.100.66 1 account=[1] session=[x) q\\' failed for \\'203.0.113.10:5060\\' (callid: z]",
    );
    // The same with a display name: either may be true.
    check(
        "Request 'REGISTER' from '\"a\" <sip:1@x>' failed for '198.51.100.66:1' (callid: x) q' failed for '203.0.113.10:5060' (callid: z) - Failed to authenticate",
        "Doubtful Sip [198.51.100.66, 203.0.113.10]",
    );
    // The end is deleted by an escape character in the Call-ID.
    check(
        "Request 'INVITE' from '\"a\" <sip:1@x>' failed for '198.51.100.66:1' (callid: x",
        "Malformed Claimed Sip 198.51.100.66 1 account=[1] session=[x]",
    );
    check(
        "Request 'INVITE' from '<sip:1@x>' failed for '198.51.100.66:1' (callid: x) - Error to authenticate",
        "-",
    );
    check(
        "Request 'INVITE' from '<sip:1@x>' failed for 'localhost' (callid: x) - Failed to authenticate",
        "-",
    );
}

#[test]
fn pjsip_registrations() {
    let check = |message: &str, expected: &str| check("res_pjsip_registrar.c", message, expected);
    check(
        "AOR 'a' not found for endpoint '9' (203.0.113.10:1)' not found for endpoint '1001' (198.51.100.66:5076)",
        "NotAllowed Claimed Sip 198.51.100.66 5076 account=[1001]",
    );
    check(
        "Endpoint '1001' (2001:db8::66:5076) has no configured AORs",
        "NotAllowed Claimed Sip 2001:db8::66 5076 account=[1001]",
    );
    check(
        "AOR 'a' has no configured max_contacts. Endpoint '1001' (198.51.100.66:5076) unable to register",
        "NotAllowed Claimed Sip 198.51.100.66 5076 account=[1001]",
    );
    check("Endpoint '1001' (198.51.100.66:5076) is something else", "-");
}

#[test]
fn pjsip_calls() {
    check(
        "res_pjsip_session.c",
        " 1001: Call (TLS:198.51.100.66:5070) to extension '5' rejected because extension not found in context 'a'.: Call (UDP:203.0.113.10:1) to extension '1' rejected because extension not found in context 'internal'.",
        "UnknownNumber Answered Sip 198.51.100.66 5070 account=[1001] dialled=[5\\' rejected because extension not found in context \\'a\\'.: Call (UDP:203.0.113.10:1) to extension \\'1]",
    );
}

#[test]
fn chan_sip() {
    let check = |message: &str, expected: &str| check("chan_sip.c", message, expected);
    check(
        "Registration from '\"x' failed for '203.0.113.10:5060' - Wrong password\" <sip:2001@198.51.100.1>' failed for '198.51.100.66:5071' - No matching peer found",
        "UnknownAccount Claimed Sip 198.51.100.66 5071 account=[2001]",
    );
    check(
        "Registration from '<sip:2001@198.51.100.1>' failed for '198.51.100.66' - Wrong password",
        "WrongPassword Claimed Sip 198.51.100.66 account=[2001]",
    );
    check(
        "Call from '' (198.51.100.66:5076) to extension '1' (203.0.113.10:1) to extension '2' rejected because extension not found in context 'public'.",
        "UnknownNumber Claimed Sip 198.51.100.66 5076 dialled=[1\\' (203.0.113.10:1) to extension \\'2]",
    );
    // The header From, which is whatever the client writes.
    check(
        "Failed to authenticate device 100<sip:100@203.0.113.10>;tag=a for INVITE, code = -1",
        "-",
    );
    check("Sending fake auth rejection for device 100<sip:100@203.0.113.10>;tag=a", "-");
    // Not the client's fault.
    check(
        "Registration from '<sip:1@x>' failed for '198.51.100.66:1' - RTP initialization failed",
        "-",
    );
}

#[test]
fn chan_iax2() {
    let check = |message: &str, expected: &str| check("chan_iax2.c", message, expected);
    check(
        "Host 198.51.100.66 failed MD5 authentication for '3001' (aa != bb)",
        "WrongPassword Claimed Iax 198.51.100.66 account=[3001]",
    );
    check(
        "Host 198.51.100.66 did not provide proper plaintext password for '3001'",
        "WrongPassword Claimed Iax 198.51.100.66 account=[3001]",
    );
    // The name of the peer stands where others have the address.
    check("Host 203.0.113.10 failed RSA authentication with inkeys 'k'", "-");
    check(
        "No registration for peer 'x' (from 203.0.113.10)' (from 198.51.100.66)",
        "UnknownAccount Claimed Iax 198.51.100.66 account=[x\\' (from 203.0.113.10)]",
    );
    // An escape character deleted up to the `m` of `from`.
    check("No registration for peer 'x' (from 203.0.113.10) 198.51.100.66)", "-");
    check(
        "Peer '3001' is not dynamic (from 2001:db8::66)",
        "NotAllowed Claimed Iax 2001:db8::66 account=[3001]",
    );
    check("Empty registration from 198.51.100.66", "Malformed Claimed Iax 198.51.100.66");
    check(
        "Rejected connect attempt from 198.51.100.66:4569, who was trying to reach '900@default'",
        "NotAllowed Claimed Iax 198.51.100.66 4569 dialled=[900]",
    );
    check(
        "Rejected connect attempt from 198.51.100.66:4569, request '900@x@default' does not exist",
        "UnknownNumber Claimed Iax 198.51.100.66 4569 dialled=[900@x]",
    );
    check(
        "Call rejected, CallToken Support required. If unexpected, resolve by placing address 198.51.100.66:42188 in the calltokenoptional list or setting user 3001 requirecalltoken=no",
        "NotAllowed Claimed Iax 198.51.100.66 42188 account=[3001]",
    );
    // Our own registration at a provider.
    check("Registration of 'me' rejected: 'No' from: '203.0.113.10'", "-");
}

#[test]
fn manager() {
    let check = |message: &str, expected: &str| check("manager.c", message, expected);
    let session = "session=[[2026-11-20 08:36:32] NOTICE[3050]]";
    check(
        "198.51.100.66 failed to authenticate as 'admin'",
        &format!("WrongPassword Answered Ami 198.51.100.66 account=[admin] {session}"),
    );
    check(
        "2001:db8::66 tried to authenticate with nonexistent user '203.0.113.10 failed to authenticate as 'x'",
        &format!(
            "UnknownAccount Answered Ami 2001:db8::66 account=[203.0.113.10 failed to authenticate as \\'x] {session}"
        ),
    );
    check(
        "198.51.100.66 failed to pass IP ACL as 'acl'",
        &format!("NotAllowed Answered Ami 198.51.100.66 account=[acl] {session}"),
    );
    check("Reloading manager in response to ACL change event.", "-");
}

#[test]
fn access_lists() {
    let check = |message: &str, expected: &str| check("acl.c", message, expected);
    let session = "session=[[2026-11-20 08:36:32] NOTICE[3050]]";
    check(
        "IAX2 Peer ACL: Rejecting '198.51.100.66' due to a failure to pass ACL '(BASELINE)'",
        &format!("NotAllowed Claimed Iax 198.51.100.66 {session}"),
    );
    // The address of a Contact, and of a user that is tried among others.
    check(
        "SIP Contact ACL: Rejecting '203.0.113.10' due to a failure to pass ACL '(BASELINE)'",
        "-",
    );
    check("IAX2 user ACL: Rejecting '203.0.113.10' due to a failure to pass ACL '(BASELINE)'", "-");
}

#[test]
fn dial_plan() {
    check(
        "Ext. s",
        "\"Rejecting unknown SIP connection from 198.51.100.66\"",
        "UnknownNumber Claimed Sip 198.51.100.66",
    );
    check("Ext. s", "\"Rejecting unknown SIP connection from 198.51.100.66 203.0.113.10\"", "-");
    // The address of a Via.
    check("Ext. +012345", "Friendly Scanner from 203.0.113.10", "-");
    check("Ext. s", "Friendly Scanner from 203.0.113.10", "-");
}

#[test]
fn of_other_sources_nothing() {
    check("res_pjsip_acl.c", "Incoming SIP message from 203.0.113.10:1 did not pass ACL test", "-");
    check("pbx.c", "198.51.100.66 failed to authenticate as 'admin'", "-");
    check("res_security_log.c", "SecurityEvent=\"InvalidAccountID\"", "-");
    for line in ["", "[", "[]", "{", "{\"level\":\"", "NOTICE", "NOTICE[", "NOTICE[1", "NOTICE[1]"]
    {
        assert_eq!(read(line.as_bytes()), None, "{line}");
    }
}

/// A line feed in the 36 characters of an account, continued in the Call-ID and closed in the response.
#[test]
fn what_follows_a_line_feed_in_an_account_is_not_read() {
    for line in [
        "[\",SessionID=\"[2026-11-20 08:36:32] NOTICE[1] manager.c: 203.0.113.10 failed to authenticate as 'a'",
        "ERROR[1] res_pjsip_session.c: \",SessionID=\": Call (TCP:203.0.113.10:1) to extension '1' rejected because extension not found in context 'a'.",
        "ERROR[1] chan_sip.c: Call from '\",SessionID=\"' (203.0.113.10:1) to extension '1' rejected because extension not found in context 'a'.",
        "ERROR[1] chan_iax2.c: Peer '\",SessionID=\"' is not dynamic (from 203.0.113.10)",
        "{\"hostname\":\"\",SessionID=\",\"timestamp\":\"\"",
    ] {
        assert_eq!(read(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn what_asterisk_has_cut_is_not_read() {
    let name = "a".repeat(MAX_LENGTH);
    check("manager.c", &format!("198.51.100.66 failed to authenticate as '{name}'"), "-");
}
