use std::net::IpAddr;

use proptest::prelude::*;

use super::super::MAX_LINE;
use super::{Format, Reading, check};

#[path = "../../../examples/log/shapes.rs"]
mod shapes;

use shapes::{PARTS, SHAPES, TRUTH, line};

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_text_of_a_client_moves_the_source(
        shape in 0..SHAPES.len(),
        texts in prop::collection::vec(prop::collection::vec(0..PARTS.len(), 0..6), 1..4),
    ) {
        let texts: Vec<Vec<u8>> =
            texts.iter().map(|parts| parts.iter().flat_map(|part| PARTS[*part]).copied().collect()).collect();
        let (format, shape) = SHAPES[shape];
        let format: Format = format.parse().unwrap();
        let line = line(shape, &texts);
        let truth: IpAddr = TRUTH.parse().unwrap();
        if let Some(Reading::Attempt(read)) = format.read(&line) {
            prop_assert_eq!(read.source, truth, "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn harmless_texts_are_read(shape in 0..SHAPES.len(), text in "[a-z0-9]{1,12}") {
        let (format, shape) = SHAPES[shape];
        let format: Format = format.parse().unwrap();
        if shape.contains('$') {
            let line = line(shape, &[text.into_bytes()]);
            let read = format.read(&line);
            prop_assert!(matches!(read, Some(Reading::Attempt(_))), "{}", String::from_utf8_lossy(&line));
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
