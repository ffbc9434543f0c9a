//! Cards and hosts that cannot be used.

use std::os::unix::fs::PermissionsExt as _;

use super::ground::{Laptop, NAME, StandIn, card, stage};

#[test]
fn what_is_no_card_or_no_host_is_refused_and_nothing_is_sent() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4()]);
    let stand_in = StandIn::on(server);
    let good = card("tcp/443");
    for (text, expected) in [
        (String::new(), "is not a card"),
        ("my shopping list\n".to_owned(), "is not a card"),
        ("x".repeat(70_000), "is not a card"),
        (format!("<!DOCTYPE html>\n<pre>{good}</pre>"), "which only people can read"),
        (format!("<svg>{good}</svg>"), "which only people can read"),
        (good.replace("\nKEY_BASE64", "\nOTHER"), "has no keys for single packet authorization"),
        (good.replace("ACCESS", "OTHER"), "is not complete: ACCESS is missing"),
        (good.replace("40001", "0"), "the value of SPA_SERVER_PORT is malformed"),
        (format!("{good}{good}"), "was given before"),
    ] {
        let file = laptop.file("card", &text);
        let said = laptop.must_exit(2, &[NAME, "--card", &file]);
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(!said.contains("AAECAw"), "{said}");
    }
    let file = laptop.file("card", &good);
    for (arguments, code, expected) in [
        (vec![NAME, "--card", "/nowhere/card"], 2, "does not exist"),
        (vec![NAME, "--card", "/"], 2, "it is not a file"),
        (vec![NAME, "--card", "/etc/shadow"], 2, "cannot be read by this user"),
        (vec![NAME], 2, "--card"),
        (vec!["x; reboot", "--card", &file], 2, "write a host name or an address"),
        (vec!["other.example.net", "--card", &file], 1, "could not be found"),
        (vec![NAME, "--card", &file, "--keep", "--close"], 2, "cannot be used with"),
        (vec![NAME, "--card", &file, "-4", "-6"], 2, "cannot be used with"),
        (vec![NAME, "--card", &file, "--address", "0.0.0.0"], 2, "leave --address out"),
        (vec![NAME, "--card", &file, "--address", "192.0.2.0/24"], 2, "192.0.2.0/24"),
        (
            vec![NAME, "--card", &file, "--address", "192.0.2.1", "--address", "192.0.2.2"],
            2,
            "one address of IPv4",
        ),
    ] {
        let said = laptop.must_exit(code, &arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(stand_in.got().len(), 0, "nothing was sent");
}

#[test]
fn a_card_that_others_may_read_and_another_host_are_warned_of() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let _stand_in = StandIn::on(server);
    let file = laptop.file("card", &card("tcp/443"));
    // The card says which server it is for.
    let said = laptop.must_exit(0, &["--card", &file, "-4"]);
    assert!(!said.contains("warning"), "{said}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = laptop.must_exit(0, &["198.51.100.1", "--card", &file]);
    assert!(said.contains(&format!("chmod 600 {file}")), "{said}");
    assert!(!said.contains("the card is for"), "it is the same server: {said}");
    laptop.knows(&[]);
    let said = laptop.must_exit(0, &["198.51.100.1", "--card", &file]);
    assert!(said.contains("warning: the card is for pbx.example.net"), "{said}");
}
