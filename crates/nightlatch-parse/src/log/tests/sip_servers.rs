//! Lines of Kamailio and OpenSIPS.

use super::{Format, check, shown};

/// As Kamailio 5.6.3 wrote them with a configuration that is common.
pub(super) const KAMAILIO: &str = "\u{1b}[0;39;49m\u{1b}[0;36;49m 0(14852) INFO: pike [pike.c:101]: pike_init(): PIKE - initializing
\u{1b}[0;39;49m\u{1b}[0;32;49m 1(14856) NOTICE: <script>: Auth failed (REGISTER) rc=-2 user=200 from=sip:200@198.51.100.1 src=198.51.100.66:5060 ua=friendly-scanner
\u{1b}[0;39;49m\u{1b}[0;32;49m 3(14858) NOTICE: <script>: Auth failed (REGISTER) rc=-2 user=1001 from=sip:1001@lab.test src=203.0.113.10:5075 ua=lab-sipp";

#[test]
fn kamailio_on_a_terminal() {
    let read: Vec<String> =
        KAMAILIO.lines().map(|line| shown(Format::Kamailio, line.as_bytes())).collect();
    assert_eq!(
        read,
        [
            "-",
            "198.51.100.66:5060 sip wrong-password claimed account=200 agent=friendly-scanner",
            "203.0.113.10:5075 sip wrong-password claimed account=1001 agent=lab-sipp",
        ]
    );
}

#[test]
fn kamailio() {
    let scan = "198.51.100.66:5060 sip malformed claimed";
    for (level, message, expected) in [
        (
            "ALERT",
            "<script>: ALERT: pike blocking REGISTER from sip:1@x (IP:198.51.100.66:5060)",
            scan,
        ),
        ("ERROR", "<script>: Malformed SIP request from 198.51.100.66:5060", scan),
        ("ERROR", "<script>: Malformed SIP response from 198.51.100.66:5060", scan),
        (
            "WARNING",
            "pike [pike_funcs.c:155]: pike_check_ipaddr(): PIKE - BLOCKing ip 198.51.100.66, node=0x7f",
            "198.51.100.66 sip malformed claimed",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=198.51.100.66 port=5060 proto=udp nonce=bound rc=-2 \
             method=REGISTER account=200 agent=friendly%20scanner",
            "198.51.100.66:5060 sip wrong-password answered account=200 agent=friendly%20scanner",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=[2001:db8::66] port=5060 proto=tls nonce=free rc=1 \
             method=REGISTER account=200 agent=",
            "2001:db8::66:5060 sip succeeded answered account=200",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=2001:db8::66 port=5060 proto=udp nonce=free rc=-3 \
             method=REGISTER account=200 agent=x",
            "2001:db8::66:5060 sip unknown-account claimed account=200 agent=x",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=198.51.100.66 port=5060 proto=udp nonce=bound rc=-5 \
             method=REGISTER account=200 agent=x",
            "198.51.100.66:5060 sip challenged claimed account=200 agent=x",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=198.51.100.66 port=5060 proto=udp nonce=bound rc=-5 \
             method=INVITE account=4930123 agent=x",
            "198.51.100.66:5060 sip challenged claimed agent=x",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=198.51.100.66 port=5060 proto=udp nonce=bound rc=-100 \
             method=REGISTER account=200 agent=friendly-scanner",
            "198.51.100.66:5060 sip malformed claimed account=200 agent=friendly-scanner",
        ),
        (
            "NOTICE",
            "<script>: nightlatch: src=198.51.100.66 port=5060 proto=udp nonce=bound rc=-4 \
             method=REGISTER account= agent=x",
            "-",
        ),
    ] {
        for head in ["", "{1 1 REGISTER 1-7@198.51.100.66} "] {
            let message = format!("{level}: {head}{message}");
            let line = format!("Nov 20 08:36:32 pbx /usr/sbin/kamailio[602]: {message}");
            check(Format::Kamailio, &line, expected);
            let claimed = expected.replace("answered", "claimed");
            check(Format::Kamailio, &format!(" 1(602) {message}"), &claimed);
            check(Format::Kamailio, &message, expected);
        }
    }
}

/// What Kamailio 5.6.3 wrote with its stock configuration and our snippet: wrong and right passwords, an unknown user,
/// a Call-ID and a user that forge a source, a long agent, a scanner that is dropped, and a guesser of passwords.
#[test]
fn kamailio_with_our_snippet() {
    let lines = include_str!("../testdata/kamailio-snippet.txt").lines();
    let read: Vec<String> = lines
        .map(|line| shown(Format::Kamailio, line.as_bytes()).replace("203.0.113.66:51004 sip ", ""))
        .collect();
    let forger = format!(
        "unknown-account claimed account=a%7d%20src=203.0.113.10%20b agent={}",
        "x%20agent=1%20%7d%20src=203.0.113.10%20port=1"
    );
    let long = format!("wrong-password claimed account=200 agent={}", "u".repeat(64));
    let scanner = "203.0.113.66:5060 sip malformed claimed account=200 agent=friendly-scanner";
    assert_eq!(
        read,
        [
            "challenged claimed account=200 agent=lab",
            "wrong-password claimed account=200 agent=lab",
            "challenged claimed account=200 agent=lab",
            "succeeded claimed account=200 agent=lab",
            "challenged claimed account=999 agent=lab",
            "unknown-account claimed account=999 agent=lab",
            "challenged claimed account=200 agent=lab",
            &forger,
            "challenged claimed account=200 agent=lab",
            &long,
            &scanner.replace("account=200", "account=2416854775"),
            "203.0.113.66:5060 sip challenged claimed account=200 agent=friendly-scanner",
            scanner,
            scanner,
            scanner,
        ]
    );
}

#[test]
fn opensips_with_our_snippet() {
    let lines = include_str!("../testdata/opensips-snippet.txt").lines();
    let read: Vec<String> = lines
        .map(|line| shown(Format::Opensips, line.as_bytes()).replace("203.0.113.66:55682 sip ", ""))
        .collect();
    let long = format!("wrong-password claimed account=200 agent={}", "u".repeat(64));
    assert_eq!(
        read,
        [
            "wrong-password claimed account=200 agent=lab",
            "succeeded claimed account=200 agent=lab",
            &long,
            "wrong-password claimed account=200",
            "wrong-password claimed account=a%7d%20src=203.0.113.10%20b agent=lab",
        ]
    );
}

#[test]
fn opensips() {
    let record = "nightlatch: src=198.51.100.66 port=5060 proto=tcp nonce=free rc=-2 \
                  method=REGISTER account=200 agent=x";
    let expected = "198.51.100.66:5060 sip wrong-password answered account=200 agent=x";
    let line = format!("Nov 20 08:36:32 pbx /usr/sbin/opensips[602]: {record}");
    check(Format::Opensips, &line, expected);
    check(Format::Opensips, &format!("Nov 20 08:36:32 [602] {record}"), expected);
    check(Format::Opensips, &format!("Nov 20 08:36:32 [602] NOTICE:{record}"), expected);
    check(Format::Opensips, &format!("Nov 20 08:36:32 [602] NOTICE: {record}"), "-");
    let line = "Nov 20 08:36:32 [602] PIKE - BLOCKing ip 198.51.100.66, node=0x7f";
    check(Format::Opensips, line, "198.51.100.66 sip malformed claimed");
}
