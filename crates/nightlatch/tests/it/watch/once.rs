//! One attempt that Asterisk writes into several logs, in several lines, counts once.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use nightlatch_lab::stage::Stage;
use serde_json::Value;

use super::{TIMEOUT, failed};
use crate::support::{Installation, wait_until};

/// An Asterisk of which three logs are read: messages, security as text, and security as JSON.
struct Logs<'a> {
    nightlatch: Installation<'a>,
    paths: [PathBuf; 3],
}

/// What kind of attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A wrong password, to chan_pjsip.
    Wrong,
    /// An account that does not exist, to chan_pjsip.
    Unknown,
    /// A wrong password, to chan_sip.
    Sip,
}

impl<'a> Logs<'a> {
    fn on(stage: &'a Stage) -> Logs<'a> {
        let nightlatch = Installation::on(stage.host("server").unwrap());
        let names = ["messages", "security", "security.json"];
        let paths = names.map(|name| nightlatch.directory().join(name));
        let table = |path: &PathBuf| {
            fs::write(path, "").unwrap();
            format!("[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n", path.display())
        };
        let tables: String = paths.iter().map(table).collect();
        nightlatch.configure(&format!("[pbx]\nproduct = \"asterisk\"\n{tables}"));
        Logs { nightlatch, paths }
    }

    /// One attempt, as Asterisk 20 writes it into all three.
    fn write(&self, kind: Kind, source: &str, number: u32) {
        let (account, call) = (format!("{}", 1000 + number), format!("{source}-{number}"));
        let request = |reason: &str| {
            format!(
                "[2026-11-20 08:36:32] NOTICE[3050] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:{account}@192.0.2.1>' failed for '{source}:5071' (callid: {call}) - {reason}\n"
            )
        };
        let unknown = format!(
            "[2026-11-20 08:36:32] SECURITY[1] res_security_log.c: SecurityEvent=\"InvalidAccountID\",EventTV=\"2026-11-20T08:36:32.582+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{account}\",SessionID=\"{call}\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/{source}/5071\"\n"
        );
        let wrong = failed(source, &account, &call);
        let challenge = format!("{number:08x}");
        let none = "No matching endpoint found";
        let (messages, security) = match kind {
            Kind::Wrong => (vec![request("Failed to authenticate")], vec![wrong]),
            Kind::Sip => {
                let registration = format!(
                    "[2026-11-20 08:36:32] NOTICE[3080] chan_sip.c: Registration from '<sip:{account}@192.0.2.1>' failed for '{source}:5071' - Wrong password\n"
                );
                let security = format!(
                    "[2026-11-20 08:36:32] SECURITY[1] res_security_log.c: SecurityEvent=\"InvalidPassword\",EventTV=\"2026-11-20T08:36:32.582+0000\",Severity=\"Error\",Service=\"SIP\",EventVersion=\"2\",AccountID=\"{account}\",SessionID=\"0x7f3598010d60\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/{source}/5071\",Challenge=\"{challenge}\",ReceivedChallenge=\"{challenge}\",ReceivedHash=\"246b8acf487cfb5acf04f8952ec0a0d1\"\n"
                );
                (vec![registration], vec![security])
            }
            Kind::Unknown => {
                let messages = [none, none, "Failed to authenticate"].map(request);
                (messages.to_vec(), vec![unknown.clone(), unknown, wrong])
            }
        };
        let json: Vec<String> = security.iter().map(|line| json(line)).collect();
        for (path, lines) in self.paths.iter().zip([messages, security, json]) {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(lines.concat().as_bytes()).unwrap();
        }
    }

    /// How many lines were read as attempts, in all logs.
    fn read(&self) -> u64 {
        let listed = self.nightlatch.json(&["watch", "list"]);
        let sources = listed["sources"].as_array().unwrap();
        sources.iter().map(|it| it["attempts"].as_u64().unwrap()).sum()
    }

    fn ban(&self, source: &str) -> Value {
        let bans = self.nightlatch.json(&["bans"]);
        let found = bans["bans"].as_array().unwrap().iter().find(|it| it["range"] == source);
        found.cloned().unwrap_or_default()
    }
}

/// A line of the security channel, as a logger with `[json]` writes it.
fn json(line: &str) -> String {
    let message = line.trim_end().split_once("res_security_log.c: ").unwrap().1;
    let message = serde_json::to_string(message).unwrap();
    format!(
        "{{\"hostname\":\"pbx\",\"timestamp\":\"2026-11-20 08:36:32\",\"identifiers\":{{\"lwp\":1,\"callid\":\"\"}},\"logmsg\":{{\"location\":{{\"filename\":\"res_security_log.c\",\"function\":\"security_event_stasis_cb\",\"line\":115}},\"level\":\"SECURITY\",\"message\":{message}}}}}\n"
    )
}

#[test]
fn an_attempt_in_three_logs_is_one() {
    let Some(stage) = super::stage() else { return };
    let logs = Logs::on(&stage);
    let _daemon = logs.nightlatch.daemon();
    wait_until("the logs are read", TIMEOUT, || {
        let listed = logs.nightlatch.json(&["watch", "list"]);
        listed["sources"].as_array().is_some_and(|sources| sources.len() == 3)
    });
    let mut lines = 0;
    // An unknown account counts twice: three of them are an attack, as five wrong passwords are.
    for (kind, source, enough, each) in [
        (Kind::Wrong, "198.51.100.66", 5, 3),
        (Kind::Unknown, "198.51.100.67", 3, 9),
        (Kind::Sip, "198.51.100.68", 5, 3),
    ] {
        for number in 1..=enough {
            assert!(logs.ban(source).is_null(), "{kind:?} {number}: {}", logs.ban(source));
            logs.write(kind, source, number);
            lines += each;
            wait_until("all lines are read", TIMEOUT, || logs.read() >= lines);
            assert_eq!(logs.read(), lines, "{kind:?} {number}");
            std::thread::sleep(Duration::from_millis(150));
        }
        wait_until("the source is banned", TIMEOUT, || !logs.ban(source).is_null());
        let evidence = logs.ban(source)["cause"]["attack"]["evidence"].clone();
        assert_eq!(
            (&evidence["attempts"], &evidence["accounts_tried"]),
            (&enough.into(), &enough.into()),
            "{kind:?}: {evidence}"
        );
    }
    // The summary counts each once as well.
    let summed = || logs.nightlatch.json(&["watch", "summary", "day"])["attempts"].clone();
    wait_until("all are summed up", TIMEOUT, || summed() == 13);
}
