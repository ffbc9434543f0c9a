use super::sip_servers::KAMAILIO;
use super::{Format, check};

/// What OpenSSH writes behind `sshd[602]: `, and what is read.
const SSHD: &[(&str, &str)] = &[
    (
        "Failed password for root from 198.51.100.66 port 50273 ssh2",
        "198.51.100.66:50273 ssh wrong-password answered account=root pid=602",
    ),
    (
        "Failed password for invalid user ROOT from 2001:db8::66 port 50273 ssh2",
        "2001:db8::66:50273 ssh unknown-account answered account=ROOT pid=602",
    ),
    (
        "Failed keyboard-interactive/pam for invalid user a b from 198.51.100.66 port 1 ssh2",
        "198.51.100.66:1 ssh unknown-account answered account=a b pid=602",
    ),
    (
        "Failed none for invalid user  from 198.51.100.66 port 1 ssh2",
        "198.51.100.66:1 ssh unknown-account answered pid=602",
    ),
    (
        "Failed publickey for root from 198.51.100.66 port 1 ssh2: RSA SHA256:q5i3x",
        "198.51.100.66:1 ssh challenged answered account=root pid=602",
    ),
    (
        "Accepted publickey for root from 192.0.2.7 port 50274 ssh2: ED25519 SHA256:q5i3x",
        "192.0.2.7:50274 ssh succeeded answered account=root pid=602",
    ),
    (
        "Accepted password for anna from ::ffff:192.0.2.7 port 50274 ssh2",
        "192.0.2.7:50274 ssh succeeded answered account=anna pid=602",
    ),
    (
        "message repeated 2 times: [ Failed password for root from 198.51.100.66 port 5 ssh2]",
        "198.51.100.66:5 ssh wrong-password answered account=root pid=602",
    ),
    (
        "Invalid user admin from 198.51.100.66 port 48520",
        "198.51.100.66:48520 ssh unknown-account answered account=admin pid=602",
    ),
    (
        "Invalid user admin from 198.51.100.66",
        "198.51.100.66 ssh unknown-account answered account=admin pid=602",
    ),
    (
        "Connection closed by authenticating user root 198.51.100.66 port 5 [preauth]",
        "198.51.100.66:5 ssh wrong-password answered account=root pid=602",
    ),
    (
        "Connection reset by invalid user a 198.51.100.66 port 5 [preauth]",
        "198.51.100.66:5 ssh unknown-account answered account=a pid=602",
    ),
    (
        "Disconnected from invalid user a 198.51.100.66 port 5 [preauth]",
        "198.51.100.66:5 ssh unknown-account answered account=a pid=602",
    ),
    (
        "Disconnecting authenticating user root 198.51.100.66 port 5: \
             Too many authentication failures [preauth]",
        "198.51.100.66:5 ssh wrong-password answered account=root pid=602",
    ),
    (
        "error: maximum authentication attempts exceeded for invalid user a \
             from 198.51.100.66 port 5 ssh2 [preauth]",
        "198.51.100.66:5 ssh unknown-account answered account=a pid=602",
    ),
    (
        "error: PAM: Authentication failure for root from 198.51.100.66",
        "198.51.100.66 ssh wrong-password answered account=root pid=602",
    ),
    (
        "error: PAM: User not known to the underlying authentication module for \
             illegal user a from 198.51.100.66",
        "198.51.100.66 ssh unknown-account answered account=a pid=602",
    ),
    (
        "User root from 198.51.100.66 not allowed because not listed in AllowUsers",
        "198.51.100.66 ssh not-allowed answered account=root pid=602",
    ),
    (
        "PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= \
             rhost=198.51.100.66  user=root",
        "198.51.100.66 ssh wrong-password answered account=root pid=602",
    ),
    (
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= \
             rhost=198.51.100.66 ",
        "198.51.100.66 ssh unknown-account answered pid=602",
    ),
    (
        "ROOT LOGIN REFUSED FROM 198.51.100.66 port 5",
        "198.51.100.66:5 ssh not-allowed answered account=root pid=602",
    ),
    (
        "Unable to negotiate with 198.51.100.66 port 5: no matching key exchange method found. \
             Their offer: diffie-hellman-group1-sha1 [preauth]",
        "198.51.100.66:5 ssh malformed answered pid=602",
    ),
    (
        "Bad protocol version identification 'GET / HTTP/1.1' from 198.51.100.66 port 5",
        "198.51.100.66:5 ssh malformed answered pid=602",
    ),
    (
        "banner exchange: Connection from 198.51.100.66 port 5: invalid format",
        "198.51.100.66:5 ssh malformed answered pid=602",
    ),
    // Nobody tried to log in, or the end of an attempt is told by another line.
    ("Connection closed by 198.51.100.66 port 5 [preauth]", "-"),
    ("Disconnected from user anna 192.0.2.7 port 5", "-"),
    ("Received disconnect from 198.51.100.66 port 5:11: Bye Bye [preauth]", "-"),
    ("Postponed keyboard-interactive for root from 198.51.100.66 port 5 ssh2 [preauth]", "-"),
    ("Failed password for root from gw.example.net port 5 ssh2", "-"),
    ("Server listening on 0.0.0.0 port 22.", "-"),
    ("pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)", "-"),
];

#[test]
fn sshd() {
    for (message, expected) in SSHD {
        for program in ["sshd", "sshd-session"] {
            let line = format!("Nov 20 08:36:32 pbx {program}[602]: {message}");
            check(Format::Sshd, &line, expected);
            let line = format!("2026-11-20T08:36:32.123456+01:00 pbx {program}[602]: {message}");
            check(Format::Sshd, &line, expected);
        }
        check(Format::Sshd, &format!("Nov 20 08:36:32 pbx su[602]: {message}"), "-");
    }
}

#[test]
fn the_journal_has_the_message_alone() {
    let text = b"Failed password for root from 198.51.100.66 port 50273 ssh2";
    let read = super::super::sshd::message(text, Some(b"602"), None);
    let Some(super::Reading::Attempt(read)) = read else { panic!("{read:?}") };
    assert_eq!(
        (read.source.to_string().as_str(), read.session),
        ("198.51.100.66", Some(&b"602"[..]))
    );
}

/// What OpenSSH 9.2 wrote on its standard error about logins that were tried from 203.0.113.66 and 2001:db8::66, one
/// of them as the user `root from 203.0.113.10 port 22 ssh2`.
#[test]
fn sshd_as_it_wrote() {
    let mut outcomes = std::collections::BTreeMap::new();
    for line in include_str!("../testdata/sshd.txt").lines() {
        let read = super::super::sshd::message(line.as_bytes(), None, None);
        let Some(super::Reading::Attempt(read)) = read else {
            assert_eq!(read, None, "{line}");
            continue;
        };
        let source = read.source.to_string();
        assert!(["203.0.113.66", "2001:db8::66"].contains(&source.as_str()), "{line}");
        *outcomes.entry(format!("{:?}", read.outcome)).or_insert(0) += 1;
    }
    let outcomes: Vec<String> =
        outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
    assert_eq!(
        outcomes,
        ["Malformed 2", "NotAllowed 1", "Succeeded 1", "UnknownAccount 23", "WrongPassword 5"]
    );
}

#[test]
fn freepbx() {
    let failed = "198.51.100.66 web wrong-password answered account=admin";
    for (line, expected) in [
        ("[2026-11-20 08:00:00] Authentication failure for admin from 198.51.100.66", failed),
        (
            "[2026-11-20 08:00:00] [freepbx_security.NOTICE]: \
             Authentication failure for admin from 198.51.100.66 [] []",
            failed,
        ),
        (
            "[2026-Nov-20 08:00:00] [freepbx_security.NOTICE]: \
             Authentication failure for admin from 198.51.100.66 [] []",
            failed,
        ),
        (
            "[2026-11-20T08:00:00.123456+00:00] [freepbx_security.NOTICE]: \
             Authentication failure for admin from 198.51.100.66 [] [] ",
            failed,
        ),
        (
            "[2026-11-20 08:00:00] Authentication successful for 204 from 192.0.2.20",
            "192.0.2.20 web succeeded answered account=204",
        ),
        // What a header of the request claims is nobody's address.
        (
            "[2026-11-20 08:00:00] [freepbx_security.NOTICE]: \
             Possible proxy detected, forwarded headers foradmin set to 203.0.113.10 [] []",
            "-",
        ),
        ("[2026-11-20 08:00:00] Authentication failure for admin from office", "-"),
        ("Authentication failure for admin from 198.51.100.66", "-"),
    ] {
        check(Format::Freepbx, line, expected);
    }
}

#[test]
fn freeswitch() {
    let failed = "198.51.100.66 sip wrong-password claimed account=1001";
    let message = "SIP auth failure (REGISTER) on sofia profile 'internal' for \
                   [1001@192.0.2.1] from ip 198.51.100.66";
    for head in [
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 ",
        "2024-12-31 17:39:54.767815 97.30% [WARNING] sofia_reg.c:1842 ",
        "2024-12-31 17:39:54.767815 [WARN] [SOFIA] [sofia_reg.c:4130] ",
        "5e4b3e1c-52a0-4b0e-9f0d-0c2a3a6c1f11 2024-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1 ",
        "Nov 20 08:36:32 pbx freeswitch[77]: [WARNING] sofia_reg.c:1787 ",
    ] {
        check(Format::Freeswitch, &format!("{head}{message}"), failed);
    }
    let not_allowed = "198.51.100.66 sip not-allowed claimed";
    for (message, expected) in [
        (
            "SIP auth challenge (INVITE) on sofia profile 'internal' for \
             [900441@192.0.2.1] from ip 2001:db8::66",
            "2001:db8::66 sip challenged claimed account=900441",
        ),
        (
            "Can't find user [1001@192.0.2.1] from 198.51.100.66",
            "198.51.100.66 sip unknown-account claimed account=1001",
        ),
        ("IP 198.51.100.66 Rejected by acl \"domains\"", not_allowed),
        ("IP 198.51.100.66 Rejected by register acl \"domains\"", not_allowed),
        ("IP 198.51.100.66 Rejected by user acl [phones] and no proxy acl present", not_allowed),
        ("IP 198.51.100.66 Rejected by acl \"domains\". Falling back to Digest auth.", "-"),
        ("IP 198.51.100.66 Rejected by user acl [phones] checking proxy ACLs now", "-"),
        (
            "SIP auth failure (REGISTER) due to user-agent-filter.  \
             Filter \"x\" User-Agent \"on sofia profile 'a' for [b] from ip 203.0.113.10",
            "-",
        ),
    ] {
        let line = format!("2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 {message}");
        check(Format::Freeswitch, &line, expected);
        let line = format!("2013-12-31 17:39:54.767815 [WARNING] switch_core.c:17 {message}");
        check(Format::Freeswitch, &line, "-");
    }
}

#[test]
fn fusionpbx() {
    for (message, expected) in [
        (
            "[198.51.100.66] authentication failed for admin",
            "198.51.100.66 web wrong-password answered account=admin",
        ),
        (
            "[198.51.100.66] provision attempt bad password for 001565aabbcc",
            "198.51.100.66 provisioning wrong-password answered account=001565aabbcc",
        ),
        (
            "[2001:db8::66] provision attempt but failed http basic authentication for 001565aabbcc",
            "2001:db8::66 provisioning wrong-password answered account=001565aabbcc",
        ),
        (
            "[198.51.100.66] provision attempt but failed CIDR check for 001565aabbcc",
            "198.51.100.66 provisioning not-allowed answered account=001565aabbcc",
        ),
        (
            "[198.51.100.66] provision attempt but provisioning is not enabled for 001565aabbcc",
            "198.51.100.66 provisioning not-allowed answered account=001565aabbcc",
        ),
        ("authentication failed for [198.51.100.66] authentication failed for x", "-"),
    ] {
        check(Format::Fusionpbx, &format!("Nov 20 08:36:32 pbx FusionPBX: {message}"), expected);
        let line = format!("2026-11-20T08:36:32.5+01:00 pbx FusionPBX[77]: {message}");
        check(Format::Fusionpbx, &line, expected);
        check(Format::Fusionpbx, &format!("Nov 20 08:36:32 pbx sshd[1]: {message}"), "-");
    }
}

#[test]
fn nginx() {
    let rest =
        "server: pbx.example.net, request: \"GET /admin HTTP/1.1\", host: \"pbx.example.net\"";
    for (message, expected) in [
        (
            "user \"xyz\" was not found in \"/var/www/.htpasswd\", client: 198.51.100.66, ",
            "198.51.100.66 web unknown-account answered account=xyz",
        ),
        (
            "user \"xyz\": password mismatch, client: 2001:db8::66, ",
            "2001:db8::66 web wrong-password answered account=xyz",
        ),
        (
            "no user/password was provided for basic authentication, client: 198.51.100.66, ",
            "198.51.100.66 web challenged answered",
        ),
        ("access forbidden by rule, client: 198.51.100.66, ", "-"),
    ] {
        let line = format!("2012/04/09 11:53:29 [error] 2865#0: *66647 {message}{rest}");
        check(Format::Nginx, &line, expected);
    }
}

#[test]
fn apache() {
    for (line, expected) in [
        (
            "[Thu Jul 11 01:21:43 2013] [error] [client 198.51.100.66] user dsfasdf not found: /",
            "198.51.100.66 web unknown-account answered account=dsfasdf",
        ),
        (
            "[Thu Jul 11 01:21:43 2013] [error] [client 2001:db8::66] user ann: \
             authentication failure for \"/\": Password Mismatch",
            "2001:db8::66 web wrong-password answered account=ann",
        ),
        (
            "[Thu Jul 11 01:21:43.123456 2013] [auth_basic:error] [pid 7:tid 8] \
             [client 198.51.100.66:5000] AH01618: user x y not found: /admin",
            "198.51.100.66:5000 web unknown-account answered account=x y",
        ),
        (
            "[Thu Jul 11 01:21:43.123456 2013] [auth_basic:error] [pid 7] \
             [client 2001:db8::66:5000] AH01617: user x: authentication failure for \"/a\": \
             Password Mismatch, referer: http://192.0.2.9/",
            "2001:db8::66:5000 web wrong-password answered account=x",
        ),
        (
            "[Thu Jul 11 01:21:43.123456 2013] [auth_digest:error] [pid 7] \
             [client 198.51.100.66:5000] AH01790: user `x' in realm `r' not found: /",
            "198.51.100.66:5000 web unknown-account answered account=x",
        ),
        ("[Thu Jul 11 01:21:43 2013] [error] [client gw] user dsfasdf not found: /", "-"),
        ("[Thu Jul 11 01:21:43 2013] [notice] user [client 203.0.113.10] not found: /", "-"),
        (
            "[Thu Jul 11 01:21:43 2013] [error] [client 198.51.100.66] client denied by server \
             configuration: /",
            "-",
        ),
    ] {
        check(Format::Apache, line, expected);
    }
}

#[test]
fn which_format_a_file_has() {
    let detect = |text: &str| Format::detect(text.lines().map(str::as_bytes));
    let sshd = "Nov 20 08:36:32 pbx sshd[602]: Server listening on 0.0.0.0 port 22.";
    let cron = "Nov 20 08:36:32 pbx CRON[602]: pam_unix(cron:session): session opened";
    for (text, expected) in [
        (sshd, Some(Format::Sshd)),
        (&format!("{cron}\n{cron}\n{sshd}"), Some(Format::Sshd)),
        (cron, None),
        (KAMAILIO, Some(Format::Kamailio)),
        ("Nov 20 08:36:32 pbx /usr/sbin/kamailio[1]: INFO: x", Some(Format::Kamailio)),
        ("Nov 20 08:36:32 pbx /usr/sbin/opensips[1]: INFO:core:x", Some(Format::Opensips)),
        ("Nov 20 08:36:32 [14856] INFO:core:x", Some(Format::Opensips)),
        ("Nov 20 08:36:32 pbx FusionPBX: [198.51.100.66] x", Some(Format::Fusionpbx)),
        ("2013-12-31 17:39:54.767815 [NOTICE] switch_core.c:17 x", Some(Format::Freeswitch)),
        ("2013-12-31 17:39:54.767815 97.30% [INFO] mod_sofia.c:17 x", Some(Format::Freeswitch)),
        ("2012/04/09 11:53:29 [notice] 2865#0: start worker processes", Some(Format::Nginx)),
        ("[Thu Jul 11 01:21:43.123456 2013] [mpm_event:notice] [pid 7] x", Some(Format::Apache)),
        (
            "[2026-11-20 08:00:00] [freepbx_security.NOTICE]: Authentication failure for a [] []",
            Some(Format::Freepbx),
        ),
        ("[2026-11-20 08:00:00] NOTICE[3050] chan_sip.c: x", Some(Format::Asterisk)),
        (
            "[Nov 20 08:00:00] \u{1b}[1;33mWARNING\u{1b}[0m[7][C-00000002]: x",
            Some(Format::Asterisk),
        ),
        (
            "Nov 20 08:36:32 pbx asterisk[7]: NOTICE[32257]: chan_sip.c:23417 in x: y",
            Some(Format::Asterisk),
        ),
        ("[2026-11-20 08:00:00] nothing", None),
        ("", None),
        ("hello\nworld", None),
    ] {
        assert_eq!(detect(text), expected, "{text}");
    }
}

#[test]
fn names_of_formats() {
    for format in Format::all() {
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    let error = "sshd2".parse::<Format>().unwrap_err().to_string();
    assert!(error.starts_with("unknown log format \"sshd2\"; known formats: "), "{error}");
}
