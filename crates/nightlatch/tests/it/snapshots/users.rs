//! `user`, `lease`. What a card shows is random; its tests are in `users/cards.rs`.

use super::ground::{installation, stage};
use super::transcript::Transcript;

#[test]
fn users() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("users", &nightlatch);
    to.both("user list");
    nightlatch.must(&["up", "--yes"]);
    to.about("made, changed, shown");
    to.all(&[
        "user add anna --services sip,web --keys knock,spa,agent --note \"sales, <b>\"",
        "user add bob --services SIP",
        "user add carl --services ssh --keys none --lease 90m --json",
        "user add emil --keys none",
        "user revoke emil",
    ]);
    to.both("user list");
    to.both("user show anna");
    to.both("user show carl");
    to.all(&[
        "user set anna --services sip --lease 12h",
        "user set anna --services sip",
        "user set anna --note \"\" --json",
        "user card anna --svg DIR/anna.svg --host pbx.example.net",
        "user card anna",
        "user card anna --json",
        "user card anna --again --html DIR/anna.svg",
        "user rotate anna --keys agent",
        "user rotate bob --json",
        "user card anna --html DIR/anna.html --text DIR/anna.txt",
        "user show anna",
        "user card anna --html DIR/again.html",
        "user card anna --again --html DIR/again.html",
        "user card bob --text DIR/bob.txt",
    ]);
    to.about("a user agent that is chosen");
    for (file, text) in [
        ("chosen", "Kitchen phone 0815\n"),
        ("short", "Kitchen\n"),
        ("known", "Yealink SIP-T46S 66.85.0.5\n"),
    ] {
        std::fs::write(nightlatch.directory().join(file), text).unwrap();
    }
    to.all(&[
        "user rotate bob --agent-file DIR/chosen",
        "user rotate anna --agent-file DIR/chosen",
        "user show bob",
    ]);
    to.about("refused");
    to.both("user add anna --services web");
    to.both("user add dora --services all");
    to.both("user add dora --services spi");
    to.both("user show nobody");
    to.all(&[
        "user add dora --services \"\"",
        "user add dora --services sip --keys key",
        "user add dora --services sip --lease 59s",
        "user add dora --services sip --lease 8d",
        "user add \"my office\" --services sip",
        "user add dora --services sip --agent-file DIR/short",
        "user add dora --services sip --agent-file DIR/known",
        "user rotate anna --agent-file DIR/nowhere",
        "user set anna",
        "user set nobody --services sip",
        "user rotate carl",
        "user rotate nobody",
        "user revoke nobody",
        "user card carl",
        "user card nobody",
        "user card anna --again --host \"pbx;reboot\"",
        "lease nobody 203.0.113.7",
        "lease anna 203.0.113.0/24",
        "lease anna 127.0.0.1",
        "lease anna 224.0.0.1",
        "lease anna 198.51.100.1",
        "lease anna 203.0.113.7 --for 8d",
        "lease anna 203.0.113.7 --for 0",
    ]);
    to.about("gone");
    to.both("user revoke anna");
    to.all(&["user revoke bob --json", "user list", "log"]);
    to.finish();
}

#[test]
fn help_of_users() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let mut to = Transcript::new("help_of_users", &nightlatch);
    for line in [
        "user -h",
        "user add -h",
        "user list -h",
        "user show -h",
        "user set -h",
        "user rotate -h",
        "user revoke -h",
        "user card -h",
        "lease -h",
    ] {
        to.run_with(line, |command| {
            for variable in [
                "NIGHTLATCH_CONFIG",
                "NIGHTLATCH_STATE_DIR",
                "NIGHTLATCH_RUN_DIR",
                "NIGHTLATCH_ROOT",
            ] {
                command.env_remove(variable);
            }
        });
    }
    to.finish();
}
