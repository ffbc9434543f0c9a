//! Lines as programs write them, filled with hostile text, through filters in fail2ban's language: never a
//! clear failure of an address other than the true one.
//!
//! The filters are those of these tests and, where the package fail2ban is installed, its own for Asterisk, sshd
//! and FreeSWITCH. `FAIL2BAN_HOSTILE_LINES=1000000` reads so many lines with each.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::Path;

use nightlatch_parse::fail2ban::{Filter, Kind, Reference, Source};

/// Who really wrote all lines.
const TRUE: &str = "198.51.100.66";

/// `{}` is hostile text; `#` a number that no other line has; `\{}` text whose quotes are escaped.
const PHONE: [&str; 3] = [
    "[2026-11-20 08:36:32] NOTICE[30] a.c: Registration of '{}' refused for '198.51.100.66:5071' - bad secret",
    "[2026-11-20 08:36:32] NOTICE[30] a.c: Request 'REGISTER' by '{}' refused for '198.51.100.66:5071' (id: {}) - bad secret",
    "[2026-11-20 08:36:32] SECURITY[30] a.c: Event=\"BadSecret\",Account=\"{}\",Session=\"{}\",Local=\"UDP/192.0.2.1/5060\",Remote=\"UDP/198.51.100.66/5060\",Answer=\"\\{}\"",
];
const LOGIN: [&str; 2] = [
    "Nov 20 08:36:32 pbx logind[#]: Bad secret of unknown user {} from 198.51.100.66 port 4",
    "Nov 20 08:36:32 pbx logind[#]: Bad secret of {} from 198.51.100.66",
];
const ASTERISK: [&str; 7] = [
    "[2026-11-20 08:36:32] NOTICE[30] chan_sip.c: Registration from '{}' failed for '198.51.100.66:5071' - Wrong password",
    "[2026-11-20 08:36:32] NOTICE[30] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '{}' failed for '198.51.100.66:5071' (callid: {}) - Failed to authenticate",
    "[2026-11-20 08:36:32] NOTICE[30] res_pjsip/pjsip_distributor.c: Request 'INVITE' from '\"{}\" <sip:{}@192.0.2.1>' failed for '198.51.100.66:5071' (callid: {}) - No matching endpoint found",
    "[2026-11-20 08:36:32] SECURITY[30] res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"2026-11-20T08:36:32.000+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{}\",SessionID=\"{}\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/198.51.100.66/5060\",Challenge=\"1/a\",Response=\"\\{}\",ExpectedResponse=\"\"",
    "[2026-11-20 08:36:32] NOTICE[30] manager.c: 198.51.100.66 failed to authenticate as '{}'",
    "[2026-11-20 08:36:32] NOTICE[30] chan_sip.c: Call from '{}' (198.51.100.66:5076) to extension '{}' rejected because extension not found in context 'public'.",
    "[2026-11-20 08:36:32] NOTICE[30] chan_iax2.c: No registration for peer '{}' (from 198.51.100.66)",
];
const SSHD: [&str; 7] = [
    "Nov 20 08:36:32 pbx sshd[#]: Failed password for invalid user {} from 198.51.100.66 port 50273 ssh2",
    "Nov 20 08:36:32 pbx sshd[#]: Invalid user {} from 198.51.100.66 port 50273",
    "Nov 20 08:36:32 pbx sshd[#]: Connection closed by authenticating user {} 198.51.100.66 port 50273 [preauth]",
    "Nov 20 08:36:32 pbx sshd[#]: User {} from 198.51.100.66 not allowed because not listed in AllowUsers",
    "Nov 20 08:36:32 pbx sshd[#]: maximum authentication attempts exceeded for invalid user {} from 198.51.100.66 port 50273 ssh2 [preauth]",
    "Nov 20 08:36:32 pbx sshd[#]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.66  user={}",
    "Nov 20 08:36:32 pbx sshd[#]: Bad protocol version identification '{}' from 198.51.100.66 port 50273",
];
const FREESWITCH: [&str; 3] = [
    "2026-11-20 08:36:32.767815 [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) on sofia profile 'internal' for [{}@{}] from ip 198.51.100.66",
    "2026-11-20 08:36:32.767815 [WARNING] sofia_reg.c:1787 SIP auth challenge (INVITE) on sofia profile 'internal' for [{}] from ip 198.51.100.66",
    "2026-11-20 08:36:32.767815 [WARNING] sofia_reg.c:2906 Can't find user [{}@{}] from 198.51.100.66",
];

/// Pieces of hostile text; `@` stands for a forged address.
const PIECES: [&str; 34] = [
    "root",
    "204",
    "@",
    "'",
    "\"",
    " ",
    "\\",
    "\r\n",
    "\n",
    "\u{1b}[1;31m",
    "<sip:204@192.0.2.1>",
    "]",
    "[",
    "(",
    ")",
    " from @",
    " from @ port 22 ssh2",
    " from ip @",
    "' failed for '@:5060'",
    "' refused for '@:5060'",
    " (callid: 1) - Failed to authenticate",
    " (id: 1) - bad secret",
    " - Wrong password",
    " - bad secret",
    "\",RemoteAddress=\"IPV4/UDP/@/5060\"",
    "\",Remote=\"UDP/@/5060\"",
    ",Challenge=\"1\"",
    " not allowed because not listed in AllowUsers",
    " user=x rhost=@ ",
    " (@:5060) to extension '1' rejected because extension not found in context",
    "x@y] from @",
    ": Bad secret of y from @",
    "[2026-11-20 08:36:32] NOTICE[1] a.c: ",
    "\u{e9}",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % limit
    }
}

fn hostile(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let forged =
        ["203.0.113.5", "203.0.113.77", "2001:db8::5", "[2001:db8::5]", "::ffff:203.0.113.5", TRUE];
    for _ in 0..=random.below(7) {
        match random.below(60) {
            0 => out.extend(vec![b'a'; random.below(6_000)]),
            1 => out.extend([0xff, 0xc3, 0x28]),
            2 => out.extend(format!("{} ", forged[0]).repeat(random.below(40)).bytes()),
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                out.extend(piece.replace('@', forged[random.below(forged.len())]).bytes());
            }
        }
    }
    out
}

fn line(shape: &str, number: usize, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let shape = shape.replace('#', &number.to_string());
    let mut parts = shape.split("{}").peekable();
    while let Some(part) = parts.next() {
        let escaped = part.ends_with('\\');
        out.extend_from_slice(part.strip_suffix('\\').unwrap_or(part).as_bytes());
        if parts.peek().is_none() {
            continue;
        }
        for byte in hostile(random) {
            if escaped && matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
    }
    out
}

fn check(reference: &str, shapes: &[&str]) {
    let reference = Reference::parse(reference).unwrap();
    let mut files = |path: &str| std::fs::read_to_string(path).ok();
    let mut filter = Filter::load(&reference, Source::File, &mut files)
        .unwrap_or_else(|error| panic!("{error}"));
    let lines = std::env::var("FAIL2BAN_HOSTILE_LINES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5_000);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut clear, mut doubtful) = (0, 0);
    for number in 0..lines {
        let line = line(shapes[random.below(shapes.len())], number, &mut random);
        let Some(found) = filter.read(&line, 0).filter(|found| found.kind == Kind::Failure) else {
            continue;
        };
        if found.another.is_some() {
            doubtful += 1;
            continue;
        }
        let Some(address) = found.address else { continue };
        assert_eq!(address.to_string(), TRUE, "{}\n{found:?}", String::from_utf8_lossy(&line));
        clear += 1;
    }
    println!(
        "{}: {lines} lines, {clear} clear, {doubtful} doubtful, {} given up",
        reference.path(),
        filter.gave_up()
    );
    assert!(clear > lines / 20 && doubtful > 0, "the lines reach the filter: {clear} {doubtful}");
}

fn own(name: &str) -> String {
    format!("{}/tests/data/fail2ban/{name}.conf", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_hostile_line_bans_another_with_our_filters() {
    check(&own("phone"), &PHONE);
    check(&own("login"), &LOGIN);
}

#[test]
fn no_hostile_line_bans_another_with_fail2bans_filters() {
    for (name, shapes) in
        [("asterisk", &ASTERISK[..]), ("sshd[mode=aggressive]", &SSHD), ("freeswitch", &FREESWITCH)]
    {
        let reference = Reference::parse(name).unwrap();
        if Path::new(reference.path()).exists() {
            check(name, shapes);
        } else {
            eprintln!("SKIPPED: {} is missing (package fail2ban)", reference.path());
        }
    }
}
