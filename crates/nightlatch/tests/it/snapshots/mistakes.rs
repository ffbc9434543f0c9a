//! What is mistyped, and what there is to read before anything else.

use super::ground::{installation, stage};
use super::transcript::Transcript;

/// Wrong use, which is said before anything is asked of the daemon.
const MISTYPED: &[&str] = &[
    "allow x 203.0.113.256",
    "allow x 203.0.113",
    "allow x 2001:db8::g",
    "allow x 203.0.113.1/33",
    "allow x 2001:db8::/129",
    "allow x 203.0.113.1/",
    "allow x 203.0.113.9-203.0.113.1",
    "allow x 203.0.113.9-2001:db8::1",
    "allow x -x.example.net",
    "allow x a..b",
    "allow \"my office\" 203.0.113.1",
    "allow ../x 203.0.113.1",
    "allow x 203.0.113.1 --services s_p",
    "allow x 203.0.113.1 --services \"\"",
    "allow x 203.0.113.1 --for 5x",
    "allow x 203.0.113.1 --for 0s",
    "allow x 203.0.113.1 --for 4000d",
    "allow x",
    "allow",
    "remove",
    "remove \"a b\"",
    "show",
    "block office.example.net",
    "block 203.0.113.0/40",
    "unblock x",
    "why office.example.net",
    "why 203.0.113.0/24",
    "why 203.0.113.1 --to 22",
    "why 203.0.113.1 --to udp/0",
    "why 203.0.113.1 --to udp/70000",
    "why 203.0.113.1 --to sctp/22",
    "mode closed",
    "log --csv --json",
    "log --verify --follow",
    "log --since yesterday",
    "up --mode closed",
    "up --allow office",
    "down",
    "down --loudly",
    "peer",
    "peer forget 203.0.113.0/24",
    "country",
    "country block",
    "country block Chnia",
    "country block US,Germny",
    "country block \"\"",
    "country unblock all DE",
    "country allow all DE",
    "country allow Xyzzyland",
    "country of nowhere",
    "feed",
    "feed add \"A B\" /x",
    "feed add unknown",
    "feed add voipbll",
    "feed add apiban",
    "feed add x https://",
    "feed add x https://me:pass@192.0.2.1/",
    "feed add x https://192.0.2.1/?token=s",
    "feed add x https://192.0.2.1/${key}",
    "feed add x https://192.0.2.1/ --key-file /etc/passwd",
    "feed add x http://192.0.2.1/${key} --key-file /etc/passwd",
    "feed add x https://192.0.2.1/ --header X-Api-Key:s",
    "feed add x https://192.0.2.1/ --header nothing",
    "feed add x https://192.0.2.1/${key} --key-file /nowhere/key",
    "feed add x https://192.0.2.1/ --every 10s",
    "feed add x https://192.0.2.1/ --every 31d",
    "feed add x https://192.0.2.1/ --format xml",
    "feed add x ftp://192.0.2.1/",
    "feed add x nowhere.txt",
    "feed add x list.example.net/bad.txt",
    "feed add x /etc",
    "feed show",
    "generate",
    "generate html .",
    "generate man DIR/nowhere",
    "alow x 203.0.113.1",
    "help alow",
];

#[test]
fn mistyped() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("mistyped", &nightlatch);
    to.all(MISTYPED);
    to.finish();
}

/// Whatever is asked while no daemon runs.
#[test]
fn without_a_daemon() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let mut to = Transcript::new("without_a_daemon", &nightlatch);
    to.both("log");
    to.both("status");
    to.all(&[
        "allow x 203.0.113.1",
        "remove x",
        "list --json",
        "show x",
        "why 203.0.113.1",
        "block 203.0.113.1",
        "unblock 203.0.113.1",
        "peer list",
        "country list",
        "feed list",
        "feed add x nowhere.txt",
        "mode",
        "mode open --json",
        "services",
        "reload",
        "confirm",
        "rollback",
        "down --yes",
        "boot",
    ]);
    to.finish();
}

const COMMANDS: [&str; 27] = [
    "up", "confirm", "rollback", "down", "status", "allow", "remove", "list", "show", "why",
    "block", "unblock", "peer", "country", "feed", "mode", "services", "log", "check", "reload",
    "demo", "daemon", "boot", "generate", "help", "provider", "who",
];
/// Commands within commands.
const PARTS: [&str; 18] = [
    "peer list",
    "peer forget",
    "country block",
    "country unblock",
    "country allow",
    "country list",
    "country refresh",
    "country of",
    "feed add",
    "feed remove",
    "feed list",
    "feed show",
    "feed refresh",
    "feed catalogue",
    "provider list",
    "provider show",
    "provider enable",
    "provider disable",
];

#[test]
fn help() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let show = |name: &'static str, lines: &[String]| {
        let mut to = Transcript::new(name, &nightlatch);
        for line in lines {
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
    };
    let briefly = |command: &&str| format!("{command} -h");
    let all = [
        "--help",
        "-h",
        "help",
        "",
        "help allow",
        "feed add --help",
        "country --help",
        "--version",
    ];
    show("help", &all.map(str::to_owned));
    let (some, others) = COMMANDS.split_at(12);
    show("help_of_commands", &some.iter().map(briefly).collect::<Vec<_>>());
    show("help_of_more_commands", &others.iter().map(briefly).collect::<Vec<_>>());
    show("help_of_parts", &PARTS.iter().map(briefly).collect::<Vec<_>>());
    let mut to = Transcript::new("feed_catalogue", &nightlatch);
    to.both("feed catalogue");
    to.finish();
}
