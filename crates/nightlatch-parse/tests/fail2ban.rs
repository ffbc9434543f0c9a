//! Filters in fail2ban's language, written for these tests: what they match, and what they must not.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers may fail the test")]

use std::path::Path;

use nightlatch_parse::fail2ban::{Filter, Kind, Match, Reference, Source};
use nightlatch_parse::log::{Reading, Service};

/// One of the filters in tests/data/fail2ban.
fn load(name: &str, source: Source) -> Filter {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fail2ban");
    let (name, options) = name.split_at(name.find('[').unwrap_or(name.len()));
    let reference =
        Reference::parse(&format!("{}/{name}.conf{options}", folder.display())).unwrap();
    let mut files = |path: &str| std::fs::read_to_string(path).ok();
    Filter::load(&reference, source, &mut files).unwrap_or_else(|error| panic!("{error}"))
}

/// A filter of a single text.
fn filter(text: &str) -> Result<Filter, String> {
    let reference = Reference::parse("/f.conf").unwrap();
    let mut files = |path: &str| (path == "/f.conf").then(|| text.to_owned());
    Filter::load(&reference, Source::File, &mut files).map_err(|error| error.to_string())
}

fn address(found: Option<&Match>) -> Option<String> {
    found.filter(|found| found.kind == Kind::Failure)?.address.map(|address| address.to_string())
}

#[test]
fn a_phone_log_is_read() {
    let mut filter = load("phone", Source::File);
    let line = b"[2026-11-20 08:36:32] NOTICE[30] a/b.c: Registration of '204' refused for '192.0.2.7:5060' - bad secret";
    let found = filter.read(line, 0).unwrap();
    assert_eq!(address(Some(&found)).as_deref(), Some("192.0.2.7"));
    let stamp = found.stamp.unwrap();
    assert_eq!((stamp.year, stamp.month, stamp.day, stamp.hour), (Some(2026), 11, 20, 8));
    assert!(
        matches!(found.reading(Service::Sip, line), Some(Reading::Attempt(attempt)) if attempt.account.is_none())
    );
    let quiet = b"[2026-11-20 08:36:32] NOTICE[30] a/b.c: Registration of '204' accepted for '192.0.2.7:5060'";
    assert_eq!(filter.read(quiet, 0), None);
    let ignored = b"[2026-11-20 08:36:32] NOTICE[30] a.c: Request 'X' by 'monitor' refused for '192.0.2.7' (id: 1) - bad secret";
    assert_eq!(filter.read(ignored, 0).unwrap().kind, Kind::Ignored);
    assert_eq!(filter.journal_match(), [["_SYSTEMD_UNIT=phone.service", "+", "_COMM=phone"]]);
}

#[test]
fn a_journal_line_has_no_date() {
    let mut filter = load("phone", Source::Journal);
    let line = b"pbx phone[7]: NOTICE[30] a.c: Registration of '2' refused for '2001:db8::7' - no such peer";
    let found = filter.read(line, 0).unwrap();
    assert_eq!((address(Some(&found)).as_deref(), found.stamp), (Some("2001:db8::7"), None));
}

#[test]
fn two_ways_to_read_a_line_are_a_doubt() {
    let mut filter = load("phone", Source::File);
    let line = b"[2026-11-20 08:36:32] NOTICE[30] a.c: Request 'REGISTER' by 'x' refused for '203.0.113.5:5060' (id: y) - \
                 bad secret' refused for '198.51.100.66:5060' (id: z) - bad secret";
    let found = filter.read(line, 0).unwrap();
    assert_eq!(found.address.unwrap().to_string(), "198.51.100.66");
    let forged_later = b"[2026-11-20 08:36:32] NOTICE[30] a.c: Request 'REGISTER' by 'x' refused for '198.51.100.66:5060' (id: \
                        y' refused for '203.0.113.5:5060' (id: z) - bad secret";
    let found = filter.read(forged_later, 0).unwrap();
    assert!(found.another.is_some());
    let Some(Reading::Doubtful(doubt)) = found.reading(Service::Sip, forged_later) else {
        panic!("{found:?}")
    };
    assert_eq!(doubt.sources.len(), 2);
}

#[test]
fn lines_of_a_session_belong_together() {
    let mut filter = load("login", Source::File);
    let mut read = |line: &str, now| filter.read(format!("Nov 20 08:36:32 {line}").as_bytes(), now);
    assert_eq!(read("pbx logind[7]: Hello from 192.0.2.7", 0).unwrap().kind, Kind::NotFailure);
    let found = read("pbx logind[7]: Too many tries", 1);
    assert_eq!(address(found.as_ref()).as_deref(), Some("192.0.2.7"));
    // Another process: its source is not known yet.
    assert_eq!(read("pbx logind[8]: Too many tries", 2).unwrap().kind, Kind::Waiting);
    let found = read("pbx logind[8]: Bad secret of root from 192.0.2.8 port 9", 3).unwrap();
    assert_eq!((address(Some(&found)).as_deref(), found.failures), (Some("192.0.2.8"), 2));
    // Long after, the number of the process says nothing.
    assert_eq!(read("pbx logind[7]: Too many tries", 1000).unwrap().kind, Kind::Waiting);
    // Who is welcome is no failure, and the session is over.
    assert_eq!(
        read("pbx logind[9]: Welcome office from 192.0.2.9", 0).unwrap().kind,
        Kind::NotFailure
    );
    assert_eq!(read("pbx logind[9]: Too many tries", 0).unwrap().kind, Kind::Waiting);
}

#[test]
fn conditions_modes_and_local_files_apply() {
    let mut filter = load("login", Source::File);
    let found = filter
        .read(b"Nov 20 08:36:32 pbx logind[1]: Bad secret of unknown user a b from 192.0.2.3", 0)
        .unwrap();
    assert_eq!(found.user.as_deref(), Some(&b"a b"[..]));
    assert_eq!(
        filter.read(b"Nov 20 08:36:32 pbx logind[2]: Bad secret of a b from 192.0.2.3", 0),
        None
    );
    assert!(filter.read(b"Nov 20 08:36:32 pbx logind[3]: Local rule about 192.0.2.3", 0).is_some());
    let line = b"Nov 20 08:36:32 pbx logind[4]: No greeting from 192.0.2.3";
    assert_eq!(filter.read(line, 0), None);
    assert!(load("login[mode=strict]", Source::File).read(line, 0).is_some());
}

#[test]
fn a_failure_over_two_lines_is_found() {
    let mut filter = load("twolines", Source::File);
    assert_eq!(filter.read(b"2026/11/20 at 08.36 attempt of root", 0), None);
    assert_eq!(filter.read(b"something else", 0), None);
    let found = filter.read(b"refused: 192.0.2.3", 0).unwrap();
    assert_eq!(address(Some(&found)).as_deref(), Some("192.0.2.3"));
    assert_eq!(found.stamp.map(|stamp| (stamp.hour, stamp.minute)), Some((8, 36)));
    assert_eq!(filter.read(b"refused: 192.0.2.3", 0), None, "its lines are used up");
}

#[test]
fn host_names_have_no_address() {
    let mut filter = filter("[Definition]\nfailregex = refused <HOST>").unwrap();
    for name in
        ["mail.example.net", "192.0.2.1.example.net", "999.0.2.1", "192.0.2.1-pool.example.net"]
    {
        let found = filter.read(format!("Nov 20 08:36:32 refused {name}").as_bytes(), 0).unwrap();
        assert_eq!((found.address, found.kind), (None, Kind::Failure), "{name}");
    }
}

#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("[Definition]\n", "/f.conf: the option failregex: it is missing or empty"),
        (
            "[Definition]\nfailregex = ^a$",
            "/f.conf: the option failregex, expression 1: it has no <HOST>",
        ),
        (
            "[Definition]\nfailregex = <HOST>\n  (<HOST>",
            "/f.conf: the option failregex, expression 2: a closing",
        ),
        (
            "[Definition]\nfailregex = <HOST> <HOST>",
            "/f.conf: the option failregex, expression 1: the group \"ip4\"",
        ),
        (
            "[Definition]\nfailregex = %(x)s <HOST>",
            "/f.conf: the option failregex: there is no option for %(x)s",
        ),
        (
            "[Definition]\nx = <x>\nfailregex = <x><HOST>",
            "/f.conf: the option failregex: the tag <x>",
        ),
        (
            "[Definition]\nfailregex = <HOST>\ndatepattern = %%Q",
            "/f.conf: the option datepattern: \"%Q\": unknown field",
        ),
        (
            "[Definition]\nfailregex = (?:a{900}){900}<HOST>",
            "/f.conf: the option failregex, expression 1: it is too large",
        ),
        ("failregex = <HOST>", "/f.conf, line 1: text before"),
    ];
    for (text, start) in cases {
        let error = filter(text).unwrap_err();
        assert!(error.starts_with(start), "{text:?}: {error}");
        assert!(error.contains(';'), "says what to do: {error}");
    }
    let missing = Filter::load(&Reference::parse("nosuch").unwrap(), Source::File, &mut |_| None)
        .unwrap_err();
    assert!(
        missing.to_string().starts_with("cannot read /etc/fail2ban/filter.d/nosuch.conf; "),
        "{missing}"
    );
}

#[test]
fn a_pattern_that_explodes_is_given_up() {
    // Without a condition on a group, an automaton takes over and answers.
    let mut linear = filter("[Definition]\nfailregex = ^\\s*(?:a+)+b <HOST>").unwrap();
    let line = format!("Nov 20 08:36:32 {}c b 192.0.2.1", "a".repeat(4000));
    assert_eq!(linear.read(line.as_bytes(), 0), None);
    assert_eq!(linear.gave_up(), 0);
    let mut other =
        filter("[Definition]\nfailregex = ^\\s*(?P<x>x)?(?:a+)+(?(x)y|b) <HOST>").unwrap();
    assert_eq!(other.read(line.as_bytes(), 0), None);
    // No automaton can say that the end is missing here, so the steps are used up.
    let line = format!("Nov 20 08:36:32 {}y 192.0.2.1", "a".repeat(4000));
    assert_eq!(other.read(line.as_bytes(), 0), None);
    assert_eq!(other.gave_up(), 1);
    assert_eq!(other.read(&vec![b'a'; 20_000], 0), None);
    assert_eq!(other.gave_up(), 2, "too long a line");
}
