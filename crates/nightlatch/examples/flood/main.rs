//! Strangers flood a server in open mode: how many entries connection tracking has, and whether allowed
//! phones and the server's own calls are affected.
//!
//! `flood [SECONDS] [PROGRAM...]` puts each program up on a server of its own, one after the other,
//! the `nightlatch` beside this one's folder last, and prints a table for each. Forged sources send
//! 4,900 packets a second each to signalling and to media, just below the default limit for all
//! strangers; each source sends once, and once more 8 s later, and the server answers, so that
//! connection tracking takes each flow for an established one. `bench/flood.sh` builds it. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

mod load;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nightlatch_lab::stage::{ATTACKER, Host, OFFICE, Plan, ROUTER, SERVER, Stage, TRAVELLER};

use load::{Asker, flood, responder};

/// How often a line is printed.
const INTERVAL: Duration = Duration::from_secs(10);
/// The ports in use: the server's signalling and media, and a mock resolver's.
const SIGNALLING: u16 = 5060;
const MEDIA: u16 = 10_000;
const RESOLVER: u16 = 53;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let duration = arguments.first().map_or(150, |text| text.parse().unwrap());
    let own = std::env::current_exe().unwrap();
    let own = own.ancestors().nth(2).unwrap().join("nightlatch");
    let others = arguments.iter().skip(1).map(PathBuf::from);
    for program in others.chain([own]) {
        under_flood(&program, Duration::from_secs(duration));
    }
}

fn under_flood(program: &Path, duration: Duration) {
    let stage = Stage::build(&Plan::standard()).unwrap();
    let [server, office, traveller, attacker, router] =
        [SERVER, OFFICE, TRAVELLER, ATTACKER, ROUTER].map(|name| stage.host(name).unwrap());
    // Packets to forged addresses are lost.
    run(router, "ip", &["route", "add", "blackhole", "100.64.0.0/10"]);
    let folder = tempfile::tempdir().unwrap();
    // Use the ports of Asterisk, whatever is installed on this machine.
    let configuration = "[pbx]\nproduct = \"asterisk\"\n";
    std::fs::write(folder.path().join("nightlatch.toml"), configuration).unwrap();
    let nightlatch = |arguments: &[&str]| {
        let mut command = server.command(program.to_str().unwrap());
        command
            .args(arguments)
            .env("NIGHTLATCH_CONFIG", folder.path().join("nightlatch.toml"))
            .env("NIGHTLATCH_STATE_DIR", folder.path())
            .env("NIGHTLATCH_RUN_DIR", folder.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    nightlatch(&["up", "--yes", "--mode", "open"]);
    nightlatch(&["allow", "office", &office.v4().to_string(), "--services", "sip"]);

    let version = String::from_utf8(nightlatch(&["--version"])).unwrap();
    println!(
        "\n{}, {}; nf_conntrack_max is {}:\n",
        program.file_name().unwrap().to_str().unwrap(),
        version.lines().next().unwrap_or_default(),
        tracked(server, "max"),
    );
    println!(
        "| after | entries | allowed phone, new flows answered | the host's own new flows answered |"
    );
    println!("|---:|---:|---:|---:|");
    let ended = AtomicBool::new(false);
    let (phone, own) = (Asker::default(), Asker::default());
    let most = std::thread::scope(|scope| {
        let _end = Ends(&ended);
        for (host, port) in [(server, SIGNALLING), (server, MEDIA), (traveller, RESOLVER)] {
            let socket = responder(host, port);
            scope.spawn(|| load::answer(socket, &ended));
        }
        scope.spawn(|| phone.asks(office, (server.v4(), SIGNALLING).into(), &ended));
        scope.spawn(|| own.asks(server, (traveller.v4(), RESOLVER).into(), &ended));
        std::thread::sleep(Duration::from_secs(2));
        row(0, server, &phone, &own);
        let sender = |port, first| flood(attacker, (server.v4(), port).into(), first, &ended);
        scope.spawn(move || sender(SIGNALLING, 0));
        scope.spawn(move || sender(MEDIA, 1 << 22));
        watch(server, duration, &phone, &own)
    });
    println!("\nAt most {most} entries.");
    nightlatch(&["down", "--yes"]);
}

/// Prints a line at regular intervals, and returns the highest number of entries seen.
fn watch(server: &Host, duration: Duration, phone: &Asker, own: &Asker) -> usize {
    let (begin, mut most, mut lines) = (Instant::now(), 0, 1);
    while begin.elapsed() < duration {
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(tracked(server, "count"));
        if begin.elapsed() >= INTERVAL * lines {
            row(INTERVAL.as_secs() * u64::from(lines), server, phone, own);
            lines += 1;
        }
    }
    most
}

fn row(seconds: u64, server: &Host, phone: &Asker, own: &Asker) {
    let entries = tracked(server, "count");
    println!("| {seconds} s | {entries} | {} | {} |", phone.share(), own.share());
}

fn tracked(host: &Host, what: &str) -> usize {
    let path = format!("/proc/sys/net/netfilter/nf_conntrack_{what}");
    host.run(|| std::fs::read_to_string(path)).unwrap().unwrap().trim().parse().unwrap()
}

fn run(host: &Host, program: &str, arguments: &[&str]) {
    assert!(host.command(program).args(arguments).status().unwrap().success());
}

/// Stops the other threads even if something fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
