//! Cards: on terminals, in files, and in the hands of a real client.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use nightlatch_parse::spa::{self, Address, Card};

use super::{card, server, stage};
use crate::support::{self, Installation, told};

/// What a command shows on a terminal of so many columns.
fn on_terminal(nightlatch: &Installation<'_>, columns: usize, arguments: &str) -> String {
    let program = env!("CARGO_BIN_EXE_nightlatch");
    let line = format!("stty cols {columns} && {program} {arguments}");
    let mut command: Command = nightlatch.command_called("script", &["-qec", &line, "/dev/null"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn a_card_on_a_terminal() {
    let Some(stage) = stage() else { return };
    if !support::installed(&["script", "stty"]) {
        return;
    }
    let nightlatch = server(&stage);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["user", "add", "anna", "--services", "sip,web", "--keys", "knock,spa,agent"]);
    // A pipe gets all of it. The address is the server's own.
    let address = stage.host("server").unwrap().v4().to_string();
    let first = nightlatch.must(&["user", "card", "anna"]);
    assert!(first.contains(&format!("Access of anna to {address}")), "{first}");
    assert!(first.contains("knock -d 300") && !first.contains("does not listen"), "{first}");
    let said = nightlatch.must_exit(1, &["user", "card", "anna"]);
    assert!(said.contains("was shown at") && said.contains("--again"), "{said}");

    // From now on without the user agent, so that all codes are the same.
    let again = nightlatch.must(&["user", "card", "anna", "--again"]);
    let code: Vec<&str> = again.lines().filter(|line| line.starts_with('\u{2588}')).collect();
    let width = code[0].chars().count();
    assert!(code.len() > 20 && code.iter().all(|line| line.chars().count() == width));
    let wide = on_terminal(&nightlatch, width, "user card anna --again");
    assert!(code.iter().all(|line| wide.contains(line)), "{wide}");
    for columns in [width - 1, 20, 1] {
        let narrow = on_terminal(&nightlatch, columns, "user card anna --again");
        assert!(!narrow.contains('\u{2588}'), "{narrow}");
        let said = format!("The terminal has {columns} columns, and the QR code needs ");
        assert!(narrow.contains(&said) && narrow.contains("--svg FILE"), "{narrow}");
        assert!(narrow.contains("KEY"), "{narrow}");
    }
    let log = nightlatch.must(&["log"]);
    assert_eq!(
        (log.matches("user-card anna").count(), log.matches("user-card-again anna").count()),
        (1, 5)
    );
}

#[test]
fn a_card_in_files() {
    let Some(stage) = stage() else { return };
    let nightlatch = server(&stage);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["user", "add", "anna", "--services", "sip", "--keys", "knock,spa,agent"]);
    let at = |name: &str| nightlatch.directory().join(name).to_str().unwrap().to_owned();
    let (html, svg, text, there, link) = (at("a.html"), at("a.svg"), at("a.txt"), at("b"), at("c"));
    std::fs::write(&there, "mine").unwrap();
    symlink(&there, &link).unwrap();
    // What is refused shows nothing, so the card is still new; files that were made meanwhile are gone.
    for wrong in [&there, &link, "/nowhere/x", "/"] {
        nightlatch.must_exit(2, &["user", "card", "anna", "--html", &html, "--svg", wrong]);
        assert!(!std::path::Path::new(&html).exists());
    }
    nightlatch.must_exit(2, &["user", "card", "anna", "--html", &html, "--svg", &html]);
    let said = nightlatch.must_exit(2, &["user", "card", "anna", "--json"]);
    assert!(said.contains("not written as JSON"), "{said}");
    nightlatch.must_exit(2, &["user", "card", "anna", "--host", "x; reboot"]);
    nightlatch.must_exit(1, &["user", "card", "nobody", "--html", &html]);
    assert!(!std::path::Path::new(&html).exists());
    // A shell's file can be read by others.
    let public = std::fs::File::create(at("public")).unwrap();
    let mut command = nightlatch.command(&["user", "card", "anna"]);
    let output = command.stdout(public).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert_eq!(std::fs::metadata(at("public")).unwrap().len(), 0);

    let all = [
        "user",
        "card",
        "anna",
        "--host",
        "pbx.example.net",
        "--html",
        &html,
        "--svg",
        &svg,
        "--text",
        &text,
    ];
    let said = nightlatch.must(&all);
    assert!(said.contains("which only root can read"), "{said}");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "mine");
    let data = std::fs::read_to_string(&text).unwrap();
    for path in [&html, &svg, &text] {
        let found = std::fs::metadata(path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, 0), "{path}");
        let page = std::fs::read_to_string(path).unwrap();
        for line in data.lines().filter(|line| line.contains("KEY")) {
            let (_, secret) = line.split_once(": ").unwrap();
            assert!(page.contains(secret) && !said.contains(secret), "{path}: {line}");
        }
        // Nothing is fetched from elsewhere: no address but names of XML.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !page.contains("://") && !page.contains("src=") && !page.contains("href"),
            "{page}"
        );
    }
    nightlatch.must_exit(1, &["user", "card", "anna", "--html", &at("again.html")]);
    nightlatch.must_exit(2, &["user", "card", "anna", "--again", "--html", &html]);
}

/// The unmodified client of fwknop takes what the card says, and makes a packet of it. That packet is
/// authentic by what `open --card` reads, of the card in a file as of the card that was shown.
#[test]
fn fwknop_takes_the_stanza() {
    let Some(stage) = stage() else { return };
    if !support::installed(&["fwknop"]) {
        return;
    }
    let nightlatch = server(&stage);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["user", "add", "anna", "--services", "sip,web", "--keys", "spa"]);
    let shown = nightlatch.must(&["user", "card", "anna", "--host", "198.51.100.1"]);
    let stanza: Vec<&str> = shown
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("[anna@"))
        .take_while(|line| !line.starts_with("and then"))
        .collect();
    let rc = nightlatch.directory().join("fwknoprc");
    std::fs::write(&rc, stanza.join("\n") + "\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&rc, mode).unwrap();
    let mut command = Command::new("fwknop");
    command.args([
        "--rc-file",
        rc.to_str().unwrap(),
        "-n",
        "anna@198.51.100.1",
        "--test",
        "--verbose",
        "--save-packet",
    ]);
    let packet = nightlatch.directory().join("packet");
    command.arg(&packet).env("HOME", nightlatch.directory());
    let output = command.output().unwrap();
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    let written = card(&nightlatch, "anna");
    for expected in ["HMAC Type: 3", "0.0.0.0,udp/5060,tcp/80", &written["SPA_SERVER_PORT"]] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    let file: Vec<String> =
        written.iter().map(|(word, value)| format!("{word}: {value}")).collect();
    let packet = std::fs::read(packet).unwrap();
    // The file names the server by its own address.
    for (text, host) in [(shown, "198.51.100.1"), (file.join("\n"), &written["HOST"])] {
        let card = Card::read(text.as_bytes()).unwrap();
        assert_eq!((card.user.as_str(), card.server.as_str()), ("anna", host));
        assert_eq!(card.port.to_string(), written["SPA_SERVER_PORT"]);
        let message = spa::authenticate(packet.trim_ascii(), &card.keys).unwrap().open().unwrap();
        assert_eq!((message.address, message.services), (Address::Source, card.access));
    }
}
