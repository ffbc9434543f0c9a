//! `watch`, `watch list`, `watch test`, `bans`: logs that are detected and read, and what is said of them.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rusqlite::Connection;

use super::ground::{installation, stage};
use super::lists::open;
use super::server::Server;
use super::transcript::Transcript;
use crate::support::wait_until;
use crate::watch::failed;

const TIMEOUT: Duration = Duration::from_secs(30);

/// What is installed on a server, as files below its root with their texts; logs are empty at first.
struct Layout {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// A log, and lines that are written into it.
    lines: &'static [(&'static str, &'static str)],
    /// How many attempts these are.
    attempts: u64,
}

const LAYOUTS: &[Layout] = &[
    Layout { name: "nothing", files: &[], lines: &[], attempts: 0 },
    Layout {
        name: "Asterisk, as it comes",
        files: &[
            (
                "etc/asterisk/logger.conf",
                "[general]\n[logfiles]\nconsole => notice\nmessages.log => notice,warning,error\n",
            ),
            ("etc/asterisk/iax.conf", "[general]\n;authdebug = yes\n"),
            ("etc/asterisk/http.conf", "[general]\nenabled = yes\n"),
            ("etc/asterisk/ari.conf", "[general]\nenabled = yes\n"),
            ("var/log/asterisk/messages.log", ""),
        ],
        lines: &[(
            "var/log/asterisk/messages.log",
            "[2026-11-20 08:36:32] NOTICE[3050] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:100@192.0.2.1>' failed for '198.51.100.66:5071' (callid: 1-4549@198.51.100.66) - Failed to authenticate",
        )],
        attempts: 1,
    },
    Layout {
        name: "Asterisk, with its security events as JSON",
        files: &[
            ("etc/asterisk/logger.conf", "[logfiles]\nsecurity.json => [json]security,notice\n"),
            ("etc/asterisk/iax.conf", "[general]\nauthdebug = yes\n"),
            ("var/log/asterisk/security.json", ""),
        ],
        lines: &[],
        attempts: 0,
    },
    Layout {
        name: "FreePBX",
        files: &[
            ("etc/freepbx.conf", "<?php\n"),
            ("etc/asterisk/logger.conf", "#include logger_logfiles_additional.conf\n"),
            (
                "etc/asterisk/logger_logfiles_additional.conf",
                "[logfiles]\nfull => debug,error,notice,verbose,warning\nfail2ban => notice,security\n",
            ),
            ("var/log/asterisk/full", ""),
            ("var/log/asterisk/fail2ban", ""),
            ("var/log/asterisk/freepbx_security.log", ""),
        ],
        lines: &[(
            "var/log/asterisk/freepbx_security.log",
            "[2026-11-20 08:36:32] [freepbx_security.NOTICE]: Authentication failure for admin from 198.51.100.66 [] []",
        )],
        attempts: 1,
    },
    Layout {
        name: "FreeSWITCH",
        files: &[
            (
                "etc/freeswitch/sip_profiles/internal.xml",
                "<profile><settings><!-- <param name=\"log-auth-failures\" value=\"true\"/> --></settings></profile>\n",
            ),
            (
                "etc/freeswitch/sip_profiles/external.xml",
                "<profile><settings><param name=\"log-auth-failures\" value=\"true\"/></settings></profile>\n",
            ),
            ("var/log/freeswitch/freeswitch.log", ""),
        ],
        lines: &[(
            "var/log/freeswitch/freeswitch.log",
            "2026-11-20 08:36:32.582000 [WARNING] sofia_reg.c:1842 SIP auth failure (REGISTER) on sofia profile 'internal' for [100@192.0.2.1] from ip 198.51.100.66",
        )],
        attempts: 1,
    },
    Layout {
        name: "Kamailio and OpenSIPS, as they come",
        files: &[
            (
                "etc/kamailio/kamailio.cfg",
                "#!KAMAILIO\n# include_file \"/usr/share/nightlatch/snippets/kamailio.cfg\"\n",
            ),
            ("etc/opensips/opensips.cfg", "log_level=3\n"),
            ("var/log/syslog", ""),
        ],
        lines: &[],
        attempts: 0,
    },
    Layout {
        name: "Kamailio, with our snippet",
        files: &[
            (
                "etc/kamailio/kamailio.cfg",
                "#!KAMAILIO\ninclude_file \"/usr/share/nightlatch/snippets/kamailio.cfg\"\n",
            ),
            ("var/log/syslog", ""),
        ],
        lines: &[(
            "var/log/syslog",
            "Nov 20 08:36:32 pbx kamailio[77]: NOTICE: {1 1%20REGISTER} <script>: nightlatch: src=198.51.100.66 port=5060 proto=udp nonce=bound rc=-2 method=REGISTER account=100 agent=friendly-scanner",
        )],
        attempts: 1,
    },
    Layout {
        name: "sshd and nginx",
        files: &[
            ("etc/ssh/sshd_config", ""),
            ("etc/nginx/nginx.conf", ""),
            ("var/log/auth.log", ""),
            ("var/log/nginx/error.log", ""),
        ],
        lines: &[
            (
                "var/log/auth.log",
                "Nov 20 08:36:32 pbx sshd[77]: Failed password for root from 198.51.100.66 port 40000 ssh2",
            ),
            (
                "var/log/nginx/error.log",
                "2026/11/20 08:36:32 [error] 7#7: *1 user \"admin\": password mismatch, client: 198.51.100.67, server: _, request: \"GET / HTTP/1.1\", host: \"192.0.2.1\"",
            ),
        ],
        attempts: 2,
    },
];

fn write(nightlatch: &Server<'_>, path: &str, text: &str) {
    let path = nightlatch.directory().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn sum(nightlatch: &Server<'_>, field: &str) -> u64 {
    let listed = nightlatch.json(&["watch", "list"]);
    let sources = listed["sources"].as_array().unwrap().iter();
    sources.map(|source| source[field].as_u64().unwrap()).sum()
}

/// `watch list`, without the blanks that set its columns: their width is that of the folder's name.
fn list(to: &mut Transcript<'_>, nightlatch: &Server<'_>) {
    let mut output = nightlatch.run_it(&["watch", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let narrow = |line: &str| {
        let columns: Vec<&str> =
            line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        format!("{}\n", columns.join("  "))
    };
    output.stdout = text.lines().map(narrow).collect::<String>().into_bytes();
    to.add("nightlatch watch list", &output);
    to.run("watch list --json");
}

/// A wrong password, from whichever address.
fn failed_from(source: &str, account: &str, session: &str) -> String {
    let line = failed(source, account, session);
    let family = if source.contains(':') { "IPV6" } else { "IPV4" };
    line.replace(&format!("IPV4/UDP/{source}"), &format!("{family}/UDP/{source}"))
}

/// Which logs are found on a server, how they are read, and what leaves no line.
#[test]
fn logs_are_found() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let mut to = Transcript::new("watch_list", &nightlatch);
    for layout in LAYOUTS {
        for folder in ["etc", "var"] {
            let _ = fs::remove_dir_all(nightlatch.directory().join(folder));
        }
        let _ = fs::remove_file(nightlatch.state().join("watch.db"));
        layout.files.iter().for_each(|(path, text)| write(&nightlatch, path, text));
        let daemon = nightlatch.daemon();
        let logs = layout.files.iter().filter(|(path, _)| path.starts_with("var/")).count();
        let is_read = || nightlatch.json(&["watch", "list"])["sources"].as_array().unwrap().len();
        wait_until(layout.name, TIMEOUT, || is_read() >= logs);
        layout.lines.iter().for_each(|(path, line)| write(&nightlatch, path, &format!("{line}\n")));
        wait_until(layout.name, TIMEOUT, || sum(&nightlatch, "attempts") >= layout.attempts);
        to.about(layout.name);
        list(&mut to, &nightlatch);
        daemon.kill();
    }
    to.finish();
}

#[test]
fn logs_that_cannot_be_read() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let folder = nightlatch.directory();
    write(&nightlatch, "elsewhere", "");
    std::os::unix::fs::symlink(folder.join("elsewhere"), folder.join("link")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
    assert!(made.success());
    let tables = ["link", "pipe", "missing"].map(|name| {
        format!("[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n", folder.join(name).display())
    });
    nightlatch.configure(&format!("[pbx]\nproduct = \"asterisk\"\n{}", tables.concat()));
    let _daemon = nightlatch.daemon();
    wait_until("all three are known", TIMEOUT, || {
        nightlatch.json(&["watch", "list"])["sources"].as_array().unwrap().len() == 3
    });
    let mut to = Transcript::new("watch_list_unreadable", &nightlatch);
    list(&mut to, &nightlatch);
    to.finish();
}

/// A log with an attacker, a spared account, a bad phone, a password that is found, and lines that deceive.
#[test]
fn logs_are_tried_out() {
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    nightlatch.must(&["allow", "office", "203.0.113.17"]);
    let mut text = String::new();
    for number in 0..12 {
        text += &failed("198.51.100.66", &format!("{}", 100 + number), &format!("a{number}"));
        text += &failed("203.0.113.17", "200", &format!("b{number}"));
        text += &failed_from("2001:db8:66::66", "x\u{1b}[31m'", &format!("c{number}"));
    }
    write(&nightlatch, "security", &text.replace("2026-11-20", "2020-11-20"));
    write(&nightlatch, "notes", "nothing here tells of a login\n");
    let guess = |process: u32| {
        format!(
            "2020-11-20T08:36:3{process}.505000+00:00 pbx sshd[{process}]: Failed password for root from 198.51.100.66 port 40000 ssh2\n"
        )
    };
    write(&nightlatch, "auth.log", &(0..7).map(guess).collect::<String>());
    let mut to = Transcript::new("watch_test", &nightlatch);
    to.both("watch test DIR/security");
    to.run("watch test DIR/security --as asterisk --quick-attempts 50 --slow-attempts 100");
    to.run("watch test DIR/security --since 1h");
    to.both("watch test DIR/auth.log --as sshd");
    to.both("watch test DIR/notes");
    to.run("watch test DIR/notes --as sshd");
    to.run("watch test DIR/notes --pattern \"login of <ADDRESS>\"");
    to.about("mistakes");
    to.run("watch test DIR/missing");
    to.run("watch test DIR/missing --json");
    to.all(&["watch test DIR/notes --as ssh", "watch test DIR/notes --pattern login"]);
    to.run("watch test DIR/notes --as /etc/fail2ban/filter.d/none.conf");
    to.finish();
}

/// The row of a ban or limit, as the daemon writes it, that lasts for a week from now.
fn write_ban(nightlatch: &Server<'_>, range: &str, body: serde_json::Value) {
    let database = Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    let now = nightlatch::shell::clock::now().millis();
    let week = 7 * 86_400_000;
    let mut whole = serde_json::json!({
        "range": range, "since": now - 60_000, "until": now + week, "times": 1,
        "remembered": now + 2 * week,
    });
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let insert = "INSERT INTO records (feature, key, body) VALUES ('bans', ?1, ?2)";
    database.execute(insert, (range, whole.to_string())).unwrap();
}

fn attack(weight: &str, service: &str, accounts: &[&str], line: &str) -> serde_json::Value {
    let now = nightlatch::shell::clock::now().millis();
    serde_json::json!({ "attack": { "weight": weight, "evidence": {
        "service": service, "attempts": 6, "score": 8, "since": now - 65_000, "last": now - 60_000,
        "threshold": [5, 600], "accounts_tried": accounts.len(), "accounts": accounts,
        "lines": [{ "at": now - 60_000, "log": "/var/log/asterisk/security", "text": line }],
    } } })
}

#[test]
fn bans_are_listed() {
    let Some(stage) = stage() else { return };
    let (nightlatch, daemon) = open(&stage);
    let mut to = Transcript::new("bans", &nightlatch);
    to.about("none");
    to.both("bans");
    to.both("bans --limited");
    daemon.kill();
    let full = attack("full", "sip", &["100", "200", "300", "400"], "a line of the log");
    write_ban(&nightlatch, "198.51.100.66", serde_json::json!({ "cause": full, "times": 3 }));
    let hostile = "\u{1b}[2Jx\", \"banned\": \"203.0.113.1";
    let brief = attack("brief", "ssh", &[hostile], hostile);
    write_ban(&nightlatch, "2001:db8:66::/64", serde_json::json!({ "cause": brief }));
    let spared = serde_json::json!({
        "cause": attack("brief", "sip", &[], "another line"), "times": 0,
        "limit": { "services": ["sip", "ssh"], "strict": true, "free": ["203.0.113.17:5060"] },
    });
    write_ban(&nightlatch, "203.0.113.17", spared);
    let _daemon = nightlatch.daemon();
    to.about("of attackers");
    to.both("bans");
    to.both("bans --limited");
    to.both("why 198.51.100.66");
    to.both("why 2001:db8:66::1");
    to.both("why 203.0.113.17 --to udp/5060");
    to.run("status");
    to.about("by hand");
    to.run("unban --all");
    to.run("ban 198.51.100.67 --for 7d --reason \"calls at night\"");
    to.run("ban 2001:db8:67::1 --for 7d --json");
    to.run("bans");
    to.run("unban 198.51.100.67");
    to.both("unban 198.51.100.67");
    to.all(&["unban --all --json", "unban --all", "bans"]);
    to.about("what is never banned");
    to.both("ban 127.0.0.1");
    to.all(&["ban 198.51.100.254", "ban 198.51.100.0/24", "ban 198.51.100.68 --for 2y"]);
    nightlatch.must(&["allow", "office", "203.0.113.17"]);
    to.both("ban 203.0.113.17");
    to.finish();
}

/// What a command prints until it is ended.
struct Printed {
    lines: Receiver<String>,
    _running: super::server::Running,
}

impl Printed {
    fn of(nightlatch: &Server<'_>, arguments: &[&str]) -> Printed {
        let (running, output) = nightlatch.start_piped(&mut nightlatch.command(arguments));
        let (to, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let _ = lines.map(|line| to.send(line)).find(Result::is_err);
        });
        Printed { lines, _running: running }
    }
}

/// Attempts are shown as they come, to all who look on.
#[test]
fn attempts_are_shown_live() {
    const LAST: &str = "198.51.100.99";
    let Some(stage) = stage() else { return };
    let (nightlatch, daemon) = open(&stage);
    nightlatch.must(&["allow", "office", "203.0.113.17"]);
    let log = nightlatch.directory().join("security");
    fs::write(&log, "").unwrap();
    let configured = fs::read_to_string(nightlatch.config()).unwrap();
    let table = format!("[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n", log.display());
    nightlatch.configure(&format!("{configured}\n{table}"));
    daemon.kill();
    let daemon = nightlatch.daemon();
    wait_until("the log is read", TIMEOUT, || {
        nightlatch.json(&["watch", "list"])["sources"][0]["state"] == "read"
    });
    let mut to = Transcript::new("watch_live", &nightlatch);
    for arguments in [&["watch"][..], &["watch", "--json"]] {
        let printed = Printed::of(&nightlatch, arguments);
        // Until it looks on, nothing is shown.
        let mut lines: Vec<String> = Vec::new();
        let is_early = |line: &String| line.contains("192.0.2.9");
        for number in 0.. {
            append(&log, &failed("192.0.2.9", "early", &format!("early{number}")));
            lines.extend(printed.lines.recv_timeout(Duration::from_millis(100)));
            if lines.last().is_some_and(is_early) {
                break;
            }
            assert!(number < 300, "nothing is shown but {lines:?}");
        }
        append(&log, &failed("198.51.100.66", "100", "one"));
        append(&log, &failed("203.0.113.17", "200", "two"));
        append(&log, &failed_from("2001:db8:66::66", "x\u{1b}[31m'", "three"));
        append(&log, &failed(LAST, "300", "last"));
        loop {
            let line = printed.lines.recv_timeout(TIMEOUT).unwrap();
            let is_last = line.contains(LAST);
            lines.push(line);
            if is_last {
                break;
            }
        }
        lines.retain(|line| !is_early(line));
        let shown: String = lines.iter().map(|line| format!("{}\n", without_clock(line))).collect();
        let (status, stderr) = (ExitStatus::from_raw(0), Vec::new());
        let output = Output { status, stdout: shown.into_bytes(), stderr };
        to.add(&format!("nightlatch {}", arguments.join(" ")), &output);
    }
    daemon.kill();
    to.run("watch");
    to.finish();
}

fn append(log: &Path, line: &str) {
    let mut file = OpenOptions::new().append(true).open(log).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// A line that begins with the time of day, without it.
fn without_clock(line: &str) -> String {
    let is_clock = line.len() > 8
        && line.bytes().take(8).enumerate().all(|(at, byte)| match at {
            2 | 5 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if is_clock { format!("hh:mm:ss{}", &line[8..]) } else { line.to_owned() }
}
