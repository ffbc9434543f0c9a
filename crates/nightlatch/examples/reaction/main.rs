//! How fast Nightlatch reacts, and what its daemon needs, measured on hosts in namespaces.
//!
//! `reaction [ROUNDS]` measures `up`, the daemon's restart after kill -9, its repair of a flushed
//! table, and its memory, and prints tables. A stranger sends a probe each millisecond, from ever
//! new ports, to a server that sends everything back; what counts is what that stranger sees.
//!
//! The program measured is the `nightlatch` beside this one's folder. `bench/reaction.sh` builds
//! both. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

mod place;
mod prober;
mod whole;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nightlatch_lab::stage::{ATTACKER, Host, SERVER, Stage};
use rustix::process::{Pid, Signal, kill_process};

use place::{Place, Size};
use prober::{Echo, Prober};
use whole::when_whole;

/// How long a server may take before it is taken for broken.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long the stranger goes on after it should meet silence.
const AFTERWARDS: Duration = Duration::from_millis(300);

fn main() {
    let rounds = std::env::args().nth(1).map_or(20, |text| text.parse().unwrap());
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("nightlatch");
    let stage = Stage::standard().unwrap();
    let server = stage.host(SERVER).unwrap();
    let bench = Bench { program, server, attacker: stage.host(ATTACKER).unwrap(), rounds };
    let _echo = Echo::on(server);
    bench.up();
    for size in [Size::Small, Size::Large] {
        bench.restart(size);
        bench.flush(size);
    }
}

struct Bench<'a> {
    program: PathBuf,
    server: &'a Host,
    attacker: &'a Host,
    rounds: usize,
}

impl Bench<'_> {
    /// The first `up` of a machine, the start of the daemon included.
    fn up(&self) {
        let (mut silent, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let place = Place::new(&self.program, self.server);
            let prober = Prober::start(self.attacker, self.server);
            std::thread::sleep(Duration::from_millis(50));
            let begin = Instant::now();
            place.must(&["up", "--yes"]);
            whole.push(begin.elapsed());
            std::thread::sleep(AFTERWARDS);
            let seen = prober.stop();
            let (_, closed) = seen.opening(begin).unwrap();
            silent.push(closed - begin);
            place.must(&["down", "--yes"]);
            // `up` started a daemon, which would go on.
            for process in self.server.processes().unwrap() {
                let process = Pid::from_raw(process.try_into().unwrap()).unwrap();
                kill_process(process, Signal::KILL).unwrap();
            }
            while !self.server.processes().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Its other threads may still be on their way out.
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("\n`nightlatch up --yes`, {} times, in ms:\n", self.rounds);
        head();
        row("from the command until a stranger meets silence", &mut silent);
        row("from the command until it returns", &mut whole);
    }

    /// kill -9 and a new start, as systemd would do it.
    fn restart(&self, size: Size) {
        let place = Place::new(&self.program, self.server);
        let mut daemon = place.daemon();
        place.must(&["up", "--yes"]);
        let added = place.fill(size);
        std::thread::sleep(Duration::from_secs(8));
        let grown = place::memory(daemon.id());
        let prober = Prober::start(self.attacker, self.server);
        let mut ready = Vec::new();
        for _ in 0..self.rounds {
            let begin = Instant::now();
            daemon.kill();
            daemon = place.daemon();
            ready.push(begin.elapsed());
        }
        let seen = prober.stop();
        println!("\n{size}, kill -9 of the daemon, {} times, in ms:\n", self.rounds);
        head();
        row("from the kill until the new daemon is ready", &mut ready);
        println!(
            "\nMeanwhile the stranger sent {} probes; {} were answered.",
            seen.sent(),
            seen.answered()
        );
        std::thread::sleep(Duration::from_secs(8));
        println!("\n{size}, memory of the idle daemon, in MB:\n");
        println!(
            "| | resident (RSS) | its share (PSS) | its own (private) | threads |\n|---|---:|---:|---:|---:|"
        );
        println!("| after `up` and the accounts | {grown} |");
        println!("| after a restart | {} |", place::memory(daemon.id()));
        println!("\nAll accounts were added in {} ms.", added.as_millis());
        place.must(&["down", "--yes"]);
    }

    /// `nft flush ruleset` by somebody else, and the repair.
    fn flush(&self, size: Size) {
        let place = Place::new(&self.program, self.server);
        let _daemon = place.daemon();
        place.must(&["up", "--yes"]);
        place.fill(size);
        let (mut open, mut silent, mut whole, mut nft) = (vec![], vec![], vec![], vec![]);
        let mut unseen = 0;
        for _ in 0..self.rounds {
            // The daemon may still be reading back what it restored the round before.
            std::thread::sleep(size.settling());
            let prober = Prober::start(self.attacker, self.server);
            std::thread::sleep(Duration::from_millis(50));
            let begin = Instant::now();
            let flush = self.server.command("nft").args(["flush", "ruleset"]).status().unwrap();
            assert!(flush.success());
            nft.push(begin.elapsed());
            // To count a long set takes the kernel long, and holds up the daemon.
            let pause = size.settling() / 200;
            let restored =
                self.server.run(|| when_whole(size.addresses(), pause, TIMEOUT)).unwrap();
            whole.push(restored - begin);
            std::thread::sleep(AFTERWARDS);
            match prober.stop().opening(begin) {
                Some((opened, closed)) => {
                    open.push(closed - opened);
                    silent.push(closed - begin);
                }
                None => unseen += 1,
            }
        }
        println!("\n{size}, `nft flush ruleset`, {} times, in ms:\n", self.rounds);
        head();
        row("the flush itself, until `nft` returns", &mut nft);
        row("how long strangers were answered", &mut open);
        row("from the flush's begin until a stranger meets silence", &mut silent);
        row("from the flush's begin until the table is whole", &mut whole);
        println!("\nIn {unseen} of {} rounds no probe was answered at all.", self.rounds);
        place.must(&["down", "--yes"]);
    }
}

fn head() {
    println!("| | median | least | most |\n|---|---:|---:|---:|");
}

fn row(what: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let Some((least, most)) = samples.first().zip(samples.last()) else {
        println!("| {what} | - | - | - |");
        return;
    };
    let shown = |time: &Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    let median = &samples[samples.len() / 2];
    println!("| {what} | {} | {} | {} |", shown(median), shown(least), shown(most));
}
