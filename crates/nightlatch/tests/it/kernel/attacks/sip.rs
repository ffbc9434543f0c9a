//! SIPVicious against Kamailio, which logs with our snippet.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nightlatch_lab::packet::Listener;
use nightlatch_lab::stage::{Host, Plan, Stage};

use super::super::ground::{Ears, protect, run, settle};
use super::super::program::Program;
use super::{NO_LIMITS, TIMEOUT, ban_of, limit_of};
use crate::support::{self, Daemon, Installation, wait_until};

/// The password of all accounts: among those that are guessed.
const PASSWORD: &str = "555";

/// Drops scanners without an answer, as in the stock configuration with our snippet.
const FILTER: &str = r#"
    if ($ua =~ "friendly|scanner|sipcli|sipvicious|VaxSIPUserAgent|pplsip") {
        $var(nightlatch) = -100;
        route(NIGHTLATCH);
        exit;
    }"#;

/// A telephone, which registers and authenticates.
const REGISTERS: &str = r#"<?xml version="1.0"?>
<scenario name="registers">
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:200@[remote_ip]>;tag=[call_number]
To: <sip:200@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: <sip:200@[local_ip]:[local_port]>
User-Agent: desk phone
Content-Length: 0

]]></send>
<recv response="401" auth="true"/>
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:200@[remote_ip]>;tag=[call_number]
To: <sip:200@[remote_ip]>
Call-ID: [call_id]
CSeq: 2 REGISTER
Contact: <sip:200@[local_ip]:[local_port]>
[authentication username=200 password=555]
User-Agent: desk phone
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"#;

/// A scanner, which asks for one account in each call and answers no challenge.
const ASKS: &str = r#"<?xml version="1.0"?>
<scenario name="asks">
<send><![CDATA[
REGISTER sip:[remote_ip] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:1[call_number]@[remote_ip]>;tag=[call_number]
To: <sip:1[call_number]@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: <sip:1[call_number]@[local_ip]:[local_port]>
User-Agent: desk phone
Content-Length: 0

]]></send>
<recv response="401" timeout="1000"/>
</scenario>
"#;

/// A server with Kamailio, whose log is watched, and an account for the office.
struct Pbx<'a> {
    nightlatch: Installation<'a>,
    server: &'a Host,
    office: &'a Host,
    attacker: &'a Host,
    log: PathBuf,
    /// They end with it, in this order.
    _running: (Program, Daemon, tempfile::TempDir),
}

impl<'a> Pbx<'a> {
    /// `filter` is the part of Kamailio's configuration that looks at each request first.
    fn on(stage: &'a Stage, filter: &str) -> Pbx<'a> {
        let host = |name| stage.host(name).unwrap();
        let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("kamailio.log");
        std::fs::write(&log, "").unwrap();
        let configuration = format!(
            "[open]\nservices = [\"sip\"]\n{NO_LIMITS}[pbx]\nproduct = \"kamailio\"\n\
             [[watch]]\npath = \"{}\"\nformat = \"kamailio\"\n",
            log.display()
        );
        let (nightlatch, daemon) = protect(server, &configuration);
        nightlatch.must(&["mode", "open"]);
        nightlatch.must(&["allow", "office", &office.v4().to_string(), "--services", "sip"]);
        let kamailio = kamailio(server, place.path(), &log, filter);
        Pbx { nightlatch, server, office, attacker, log, _running: (kamailio, daemon, place) }
    }

    /// The attacker runs one of the tools of SIPVicious.
    fn attack(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = self.attacker.command(tool);
        command.args(arguments).arg(self.server.v4().to_string()).stdin(Stdio::null());
        command.current_dir(self.nightlatch.directory());
        command.env("HOME", self.nightlatch.directory());
        command
    }

    /// The phone registers, with the right password.
    fn phone_registers(&self) {
        let place = self.nightlatch.directory();
        let scenario = place.join("registers.xml");
        std::fs::write(&scenario, REGISTERS).unwrap();
        let own = self.office.v4().to_string();
        let mut sipp = self.office.command("sipp");
        sipp.args(["-i", &own, "-m", "1", "-nostdin", "-timeout", "20s", "-timeout_error"]);
        sipp.arg("-sf").arg(&scenario).arg(format!("{}:5060", self.server.v4()));
        let output = sipp.current_dir(place).env("TERM", "dumb").stdin(Stdio::null()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}\n{}", support::told(&output), self.logged());
    }

    fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// How many requests of the address Kamailio has logged.
    fn lines_of(&self, address: IpAddr) -> usize {
        let source = format!("nightlatch: src={address} ");
        self.logged().lines().filter(|line| line.contains(&source)).count()
    }

    fn is_banned(&self) -> bool {
        !ban_of(&self.nightlatch, self.attacker.v4()).is_null()
    }
}

fn kamailio(server: &Host, place: &Path, log: &Path, filter: &str) -> Program {
    let address = server.v4();
    let snippet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg/snippets/kamailio.cfg");
    let configuration = format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
auto_aliases=no
disable_tcp=yes
listen=udp:{address}:5060
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "textops.so"
loadmodule "auth.so"
include_file "{}"
request_route {{{filter}
    if (!pv_www_authenticate("$td", "{PASSWORD}", "0")) {{
        $var(nightlatch) = $retcode;
        route(NIGHTLATCH);
        www_challenge("$td", "0");
        exit;
    }}
    $var(nightlatch) = 1;
    route(NIGHTLATCH);
    sl_send_reply("200", "OK");
}}
"#,
        snippet.display()
    );
    let file = place.join("kamailio.cfg");
    std::fs::write(&file, configuration).unwrap();
    let mut command = server.command("kamailio");
    command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f"]).arg(&file);
    command.arg("-Y").arg(place).arg("-w").arg(place);
    let mut program = Program::start(command, log);
    wait_until("Kamailio listens", TIMEOUT, || {
        let ended = program.0.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", std::fs::read_to_string(log).unwrap_or_default());
        run(server, "ss -Hlnu").contains(&format!("{address}:5060"))
    });
    program
}

/// The names of a tool, in Debian's package and upstream; `None`, and the test is skipped, where something is
/// missing.
fn tool(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |name: &String| std::env::split_paths(&path).any(|place| place.join(name).exists());
    let names = [name.to_owned(), format!("sipvicious_{name}")];
    let found = names.into_iter().find(is_there);
    if found.is_none() {
        support::skip(&format!("not installed: {name} (package sipvicious)"));
    }
    found.filter(|_| support::installed(&["kamailio", "sipp", "ss"]))
}

/// Guesses passwords of one account, a hundred a second, each with the answer to a challenge.
#[test]
fn svcrack_finds_no_password() {
    let Some(svcrack) = tool("svcrack") else { return };
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let pbx = Pbx::on(&stage, "");
    pbx.phone_registers();
    let ears = Ears::on(pbx.server);
    let output = pbx.nightlatch.directory().join("svcrack");
    let command = pbx.attack(&svcrack, &["-u", "200", "-r", "100-999"]);
    let mut attack = Program::start(command, &output);
    wait_until("the attacker is banned", TIMEOUT, || pbx.is_banned());
    settle(&ears);
    // It goes on for ten seconds: its packets arrive, and end at the firewall.
    let mut arriving = Listener::in_host(pbx.server).unwrap();
    let tried = pbx.lines_of(pbx.attacker.v4());
    let arrived = arriving.gather(Duration::from_secs(1)).unwrap();
    let arrived = arrived.iter().filter(|it| it.source == pbx.attacker.v4()).count();
    assert!(arrived > 0, "{}", std::fs::read_to_string(&output).unwrap());
    assert_eq!(ears.count(pbx.attacker.v4(), 17), 0);
    assert_eq!(pbx.lines_of(pbx.attacker.v4()), tried);
    pbx.phone_registers();
    wait_until("svcrack has given up", TIMEOUT, || attack.0.try_wait().unwrap().is_some());
    let told = std::fs::read_to_string(&output).unwrap();
    assert!(!told.contains(PASSWORD), "{told}");
    // It would have taken 455 guesses.
    assert!(tried < 300, "{tried} guesses");
    let ban = ban_of(&pbx.nightlatch, pbx.attacker.v4());
    let attack = &ban["cause"]["attack"];
    assert_eq!(attack["evidence"]["service"], "sip", "{ban}");
    // A datagram, in a log that not only root writes: briefly.
    assert_eq!(attack["weight"], "brief", "{ban}");
    let why = pbx.nightlatch.must_exit(1, &["why", &pbx.attacker.v4().to_string()]);
    assert!(why.contains("is banned") && why.contains("200"), "{why}");
}

/// Looks for accounts. The stock configuration of Kamailio does not answer it, and it ends after one request
/// without an answer; so it is run several times, as scanners come back.
#[test]
fn svwar_is_banned_where_it_is_not_answered() {
    let Some(svwar) = tool("svwar") else { return };
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let pbx = Pbx::on(&stage, FILTER);
    pbx.phone_registers();
    let ears = Ears::on(pbx.server);
    let scan = || {
        let output = pbx.attack(&svwar, &["-e", "200-220"]).output().unwrap();
        let told = support::told(&output);
        assert!(told.contains("found nothing"), "{told}");
    };
    for round in 1..=3 {
        assert!(!pbx.is_banned(), "round {round}");
        scan();
        wait_until("Kamailio has logged it", TIMEOUT, || pbx.lines_of(pbx.attacker.v4()) >= round);
    }
    wait_until("the attacker is banned", TIMEOUT, || pbx.is_banned());
    settle(&ears);
    let tried = pbx.lines_of(pbx.attacker.v4());
    scan();
    assert_eq!(ears.count(pbx.attacker.v4(), 17), 0);
    assert_eq!(pbx.lines_of(pbx.attacker.v4()), tried);
    pbx.phone_registers();
}

/// A Kamailio without the filter challenges each request alike. svwar gives up then, also with `--force`, after two
/// requests; whoever goes on from account to account, and answers none of the challenges, is banned.
#[test]
fn who_is_only_challenged_is_banned() {
    if !support::installed(&["kamailio", "sipp", "ss"]) {
        return;
    }
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let pbx = Pbx::on(&stage, "");
    // Where somebody has logged in, the log shows who does not.
    pbx.phone_registers();
    let place = pbx.nightlatch.directory();
    std::fs::write(place.join("asks.xml"), ASKS).unwrap();
    let own = pbx.attacker.v4().to_string();
    let mut sipp = pbx.attacker.command("sipp");
    sipp.args(["-i", &own, "-r", "20", "-m", "2000", "-nostdin"]);
    sipp.arg("-sf").arg(place.join("asks.xml")).arg(format!("{}:5060", pbx.server.v4()));
    sipp.current_dir(place).env("TERM", "dumb").stdin(Stdio::null());
    let _scan = Program::start(sipp, &place.join("asks"));
    wait_until("the attacker is banned", 2 * TIMEOUT, || pbx.is_banned());
    let ban = ban_of(&pbx.nightlatch, pbx.attacker.v4());
    // The requests are datagrams, whose source anybody could have forged.
    let (attack, evidence) = (&ban["cause"]["attack"], &ban["cause"]["attack"]["evidence"]);
    assert_eq!(attack["weight"], "brief", "{ban}");
    assert_eq!((&evidence["service"], &evidence["accounts_tried"]), (&"sip".into(), &20.into()));
    let why = pbx.nightlatch.must_exit(1, &["why", &own]);
    assert!(why.contains("logins that are not completed count a quarter"), "{why}");
    let ears = Ears::on(pbx.server);
    settle(&ears);
    let asked = pbx.lines_of(pbx.attacker.v4());
    let mut arriving = Listener::in_host(pbx.server).unwrap();
    let arrived = arriving.gather(Duration::from_secs(1)).unwrap();
    assert!(arrived.iter().any(|it| it.source == pbx.attacker.v4()), "the scan has ended");
    assert_eq!((ears.count(pbx.attacker.v4(), 17), pbx.lines_of(pbx.attacker.v4())), (0, asked));
    pbx.phone_registers();
}

/// The same from an address with an account: it is limited, and its service alone.
#[test]
fn svcrack_from_an_account_is_limited() {
    let Some(svcrack) = tool("svcrack") else { return };
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let pbx = Pbx::on(&stage, "");
    let attacker = pbx.attacker.v4();
    pbx.nightlatch.must(&["allow", "branch", &attacker.to_string(), "--services", "sip"]);
    let ears = Ears::on(pbx.server);
    let output = pbx.nightlatch.directory().join("svcrack");
    let command = pbx.attack(&svcrack, &["-u", "200", "-r", "100-999"]);
    let _attack = Program::start(command, &output);
    wait_until("it is limited", TIMEOUT, || !limit_of(&pbx.nightlatch, attacker).is_null());
    assert!(!pbx.is_banned());
    // The burst of the limit, and one packet a second.
    std::thread::sleep(Duration::from_secs(1));
    ears.heard();
    let mut arriving = Listener::in_host(pbx.server).unwrap();
    let arrived = arriving.gather(Duration::from_secs(3)).unwrap();
    let arrived = arrived.iter().filter(|it| it.source == attacker).count();
    let passed = ears.count(attacker, 17);
    assert!(passed <= 25 && arrived > 2 * passed, "{passed} of {arrived} packets");
    pbx.phone_registers();
    let told = std::fs::read_to_string(&output).unwrap();
    assert!(!told.contains(PASSWORD), "{told}");
}
