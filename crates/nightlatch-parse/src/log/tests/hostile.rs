use std::net::IpAddr;

use proptest::prelude::*;

use super::super::MAX_LINE;
use super::{Format, Reading, check};

#[test]
fn user_names_of_ssh_that_name_an_address() {
    let forged = "root from 203.0.113.10 port 22 ssh2";
    let head = "Nov 20 08:36:32 pbx sshd[602]: ";
    let line = format!("{head}Failed password for {forged} from 198.51.100.66 port 5 ssh2");
    let expected = format!("198.51.100.66:5 ssh wrong-password answered account={forged} pid=602");
    check(Format::Sshd, &line, &expected);
    let line = format!("{head}Invalid user {forged} from 198.51.100.66 port 5");
    let expected = format!("198.51.100.66:5 ssh unknown-account answered account={forged} pid=602");
    check(Format::Sshd, &line, &expected);
    // With a key, also its identity is the client's text.
    for line in [
        "Failed publickey for root from 198.51.100.66 port 5 ssh2: RSA-CERT SHA256:x \
         ID a from 203.0.113.10 port 22 ssh2: x (serial 0) CA RSA SHA256:y",
        "Failed publickey for root from 198.51.100.66 port 5 ssh2: RSA-CERT SHA256:x \
         ID a from 203.0.113.10 port 22 ssh2",
    ] {
        check(Format::Sshd, &format!("{head}{line}"), "? 198.51.100.66 203.0.113.10");
    }
    let line = "Disconnecting invalid user a 198.51.100.66 port 5: Change of username or service \
                not allowed: (a,ssh-connection) -> (b 203.0.113.10 port 22: x,ssh) [preauth]";
    check(Format::Sshd, &format!("{head}{line}"), "? 198.51.100.66 203.0.113.10");
}

#[test]
fn text_of_the_client_around_the_address_of_nginx() {
    let head = "2012/04/09 11:53:29 [error] 2865#0: *66647 user \"";
    let forged =
        "x\": password mismatch, client: 203.0.113.10, server: a, request: \"GET / HTTP/1.1";
    let truth = "\": password mismatch, client: 198.51.100.66, server: a, request: \"GET /";
    check(Format::Nginx, &format!("{head}{forged}{truth}"), "? 203.0.113.10 198.51.100.66");
    // A referrer that does not repeat the whole shape changes nothing.
    let line = format!("{head}ann{truth}\", referrer: \", client: 203.0.113.10, server: a, \"");
    check(Format::Nginx, &line, "198.51.100.66 web wrong-password answered account=ann");
}

#[test]
fn call_ids_that_end_the_braces_of_kamailio() {
    let forged = "<script>: nightlatch: src=203.0.113.10 port=5060 proto=udp nonce=bound rc=-2 \
                  method=REGISTER account=200 agent=x";
    let truth = forged.replace("203.0.113.10", "198.51.100.66");
    let line = format!("NOTICE: {{1 1 REGISTER x}} {forged}}} {truth}");
    check(Format::Kamailio, &line, "? 203.0.113.10 198.51.100.66");
    let line = format!("ERROR: {{1 1 REGISTER x}} {forged}}} <core> [core/a.c:7]: f(): bad");
    check(Format::Kamailio, &line, "? 203.0.113.10");
    // A value that is not escaped makes no record.
    check(Format::Kamailio, &format!("NOTICE: {truth} b"), "-");
    let line = format!("NOTICE: <script>: ALERT: {forged}");
    check(Format::Kamailio, &line, "-");
}

#[test]
fn lines_without_end() {
    let name = "a".repeat(65_536);
    let line =
        format!("Nov 20 08:36:32 pbx sshd[1]: Invalid user {name} from 198.51.100.66 port 5");
    check(Format::Sshd, &line, "-");
    assert!(line.len() > MAX_LINE);
}

/// The format, and what stands before, between and behind the texts of the client (`%`). `$` is the true
/// source, `~` a text of the client that the server has escaped.
const SHAPES: [(Format, &str); 22] = [
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: Failed password for invalid user % from $ port 5 ssh2",
    ),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: Failed publickey for % from $ port 5 ssh2: RSA-CERT ID % (serial 0)",
    ),
    (Format::Sshd, "Nov 20 08:36:32 pbx sshd[1]: Invalid user % from $ port 5"),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: Connection closed by invalid user % $ port 5 [preauth]",
    ),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: Disconnecting invalid user % $ port 5: Change of username or service not allowed: (%,%) -> (%,%) [preauth]",
    ),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: error: PAM: Authentication failure for illegal user % from $",
    ),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=$  user=%",
    ),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: Bad protocol version identification '%' from $ port 5",
    ),
    (
        Format::Sshd,
        "Nov 20 08:36:32 pbx sshd[1]: Unable to negotiate with $ port 5: no matching cipher found. Their offer: % [preauth]",
    ),
    (
        Format::Freepbx,
        "[2026-11-20 08:00:00] [freepbx_security.NOTICE]: Authentication failure for % from $ [] []",
    ),
    (Format::Freepbx, "[2026-11-20 08:00:00] Authentication failure for % from $"),
    (
        Format::Freeswitch,
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) on sofia profile 'internal' for [%@%] from ip $",
    ),
    (
        Format::Freeswitch,
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 Can't find user [%@%] from $",
    ),
    (
        Format::Freeswitch,
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) due to user-agent-filter.  Filter \"x\" User-Agent \"%\"",
    ),
    (Format::Fusionpbx, "Nov 20 08:36:32 pbx FusionPBX: [$] authentication failed for %"),
    (
        Format::Kamailio,
        "NOTICE: {1 1 REGISTER %} <script>: nightlatch: src=$ port=5060 proto=udp nonce=bound rc=-2 method=REGISTER account=~ agent=~",
    ),
    (Format::Kamailio, "ERROR: {1 1 REGISTER %} <core> [core/parser.c:7]: f(): bad header [%]"),
    (
        Format::Kamailio,
        "ALERT: {1 1 REGISTER %} <script>: ALERT: pike blocking % from % (IP:$:5060)",
    ),
    (
        Format::Kamailio,
        " 1(602) NOTICE: <script>: Auth failed (REGISTER) rc=-2 user=% from=% src=$:5060 ua=%",
    ),
    (
        Format::Nginx,
        "2012/04/09 11:53:29 [error] 2865#0: *6 user \"%\": password mismatch, client: $, server: a, request: \"%\", host: \"%\", referrer: \"%\"",
    ),
    (
        Format::Nginx,
        "2012/04/09 11:53:29 [error] 2865#0: *6 user \"%\" was not found in \"/a\", client: $, server: a, request: \"%\", host: \"%\"",
    ),
    (
        Format::Apache,
        "[Thu Jul 11 01:21:43.123456 2013] [auth_basic:error] [pid 7] [client $:5000] AH01617: user %: authentication failure for \"%\": Password Mismatch, referer: %",
    ),
];

/// Parts of which hostile texts are made.
const PARTS: [&str; 26] = [
    " from 203.0.113.10",
    " port 22 ssh2",
    " port 22",
    ": ",
    " [preauth]",
    "203.0.113.10",
    " ",
    "] from ip 203.0.113.10",
    "] from 203.0.113.10",
    "[203.0.113.10] authentication failed for ",
    "} <script>: ",
    "nightlatch: src=203.0.113.10 port=5060 proto=udp nonce=bound rc=-2 method=a account=b agent=c",
    " (IP:203.0.113.10:5060)",
    " src=203.0.113.10:5060 ua=",
    "ALERT: pike blocking a from b",
    "\": password mismatch, client: 203.0.113.10, server: a, request: \"",
    "\" was not found in \"/a\", client: 203.0.113.10, server: a, request: \"",
    " rhost=203.0.113.10",
    "[client 203.0.113.10:7] ",
    "\u{1b}[31m",
    "\r",
    "'\"\\",
    "a",
    " [] []",
    "\u{fffd}",
    " user=x",
];

/// The line of a shape with these texts of the client, from 198.51.100.66.
fn line(shape: &str, texts: &[String]) -> String {
    let mut line = String::new();
    let mut texts = texts.iter().cycle();
    for character in shape.chars() {
        match character {
            '%' => line += texts.next().map_or("", String::as_str),
            '$' => line += "198.51.100.66",
            '~' => line += "a%20b",
            _ => line.push(character),
        }
    }
    line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_text_of_a_client_moves_the_source(
        shape in 0..SHAPES.len(),
        texts in prop::collection::vec(prop::collection::vec(0..PARTS.len(), 0..6), 1..4),
    ) {
        let texts: Vec<String> =
            texts.iter().map(|parts| parts.iter().map(|part| PARTS[*part]).collect()).collect();
        let (format, shape) = SHAPES[shape];
        let line = line(shape, &texts);
        let truth: IpAddr = "198.51.100.66".parse().unwrap();
        if let Some(Reading::Attempt(read)) = format.read(line.as_bytes()) {
            prop_assert_eq!(read.source, truth, "{}", line);
        }
    }

    #[test]
    fn harmless_texts_are_read(shape in 0..SHAPES.len(), text in "[a-z0-9]{1,12}") {
        let (format, shape) = SHAPES[shape];
        if shape.contains('$') {
            let line = line(shape, &[text]);
            prop_assert!(matches!(format.read(line.as_bytes()), Some(Reading::Attempt(_))), "{}", line);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(text: Vec<u8>, shape in 0..SHAPES.len(), cut in 0_usize..200) {
        let (_, shape) = SHAPES[shape];
        let whole = shape.as_bytes();
        let mut line = whole[..cut.min(whole.len())].to_vec();
        line.extend(&text);
        for format in Format::all() {
            let _ = format.read(&line);
        }
        let _ = Format::detect([line.as_slice()]);
    }
}
