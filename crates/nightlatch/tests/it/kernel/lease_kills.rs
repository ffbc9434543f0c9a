//! Leases while the daemon is killed at random moments, and while the disk is full: what was acknowledged
//! holds, and a revoked user reaches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};

use super::ground::{Echo, answers_udp, both, ignores_udp, protect, shell};
use crate::support::{self, Installation, now, told};

const USERS: [&str; 2] = ["anna", "ben"];
/// How often the daemon is killed.
const KILLS: u64 = 12;
const SIGNALLING: u16 = 5060;

/// What is open: the addresses of each user that there is.
type Standing = BTreeMap<&'static str, BTreeSet<IpAddr>>;

#[derive(Clone, Copy, Debug)]
enum Change {
    Add(&'static str),
    Revoke(&'static str),
    Open(&'static str, IpAddr),
    Close(IpAddr),
}

impl Change {
    /// Something that is possible.
    fn any(standing: &Standing, addresses: &[IpAddr], dice: &mut Dice) -> Change {
        let user = *dice.one_of(&USERS);
        let address = *dice.one_of(addresses);
        match dice.below(6) {
            _ if !standing.contains_key(user) => Change::Add(user),
            0 => Change::Revoke(user),
            1 | 2 if standing.values().any(|of| of.contains(&address)) => Change::Close(address),
            _ => Change::Open(user, address),
        }
    }

    fn command(self) -> Vec<String> {
        let words: &[&str] = match &self {
            Change::Add(user) => &["user", "add", user, "--services", "sip", "--keys", "none"],
            Change::Revoke(user) => &["user", "revoke", user],
            Change::Open(user, address) => &["lease", user, &address.to_string()],
            Change::Close(address) => &["close", &address.to_string()],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn apply(self, standing: &mut Standing) {
        match self {
            Change::Add(user) => drop(standing.insert(user, BTreeSet::new())),
            Change::Revoke(user) => drop(standing.remove(user)),
            Change::Open(user, address) => standing.get_mut(user).unwrap().extend([address]),
            Change::Close(address) => {
                standing.values_mut().for_each(|of| of.retain(|other| *other != address));
            }
        }
    }
}

/// What the daemon says is open.
fn found(nightlatch: &Installation<'_>) -> Standing {
    let (users, leases) = (nightlatch.json(&["user", "list"]), nightlatch.json(&["leases"]));
    let known = |name: &serde_json::Value| {
        USERS.into_iter().find(|user| *name == **user).unwrap_or_else(|| panic!("{name}"))
    };
    let users = users.as_array().unwrap().iter();
    let mut standing: Standing =
        users.map(|user| (known(&user["name"]), BTreeSet::new())).collect();
    for lease in leases["leases"].as_array().unwrap() {
        // No lease is left of a user who is revoked.
        let of = standing.get_mut(known(&lease["user"])).unwrap();
        of.insert(lease["address"].as_str().unwrap().parse().unwrap());
    }
    standing
}

/// Whether each address of the phone is answered if and only if it is open.
fn compare(standing: &Standing, phone: &Host, server: &Host) {
    for (from, to) in both(phone).into_iter().zip(both(server)) {
        let is_open = standing.values().any(|of| of.contains(&from));
        let to = SocketAddr::new(to, SIGNALLING);
        let found = if is_open { answers_udp(phone, to) } else { !ignores_udp(phone, to) };
        assert_eq!(found, is_open, "{from}: {standing:?}");
    }
}

#[test]
fn kill_minus_nine_loses_no_lease_and_revives_none() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, mut daemon) = protect(server, "");
    let _echo = Echo::on(server, &[SIGNALLING], &[]);
    let others = ["203.0.113.7", "2001:db8:3::7"].map(|text| text.parse().unwrap());
    let addresses = [both(phone), others].concat();
    let seed = seed();
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let (mut standing, mut acknowledged, mut doubts) = (Standing::new(), 0, 0);
    for _ in 0..KILLS {
        let pause = Duration::from_millis(dice.below(800));
        let doubt = std::thread::scope(|scope| {
            let killer = scope.spawn(move || {
                std::thread::sleep(pause);
                daemon.kill();
            });
            let doubt = loop {
                let change = Change::any(&standing, &addresses, &mut dice);
                let output = nightlatch.run_it(&change.command());
                if !output.status.success() {
                    // Nothing is refused: the daemon was killed.
                    assert!(![1, 2].map(Some).contains(&output.status.code()), "{}", told(&output));
                    break change;
                }
                change.apply(&mut standing);
                acknowledged += 1;
            };
            killer.join().unwrap();
            doubt
        });
        daemon = nightlatch.daemon();
        // The last one has happened as a whole, or has not.
        let (found, mut after) = (found(&nightlatch), standing.clone());
        doubt.apply(&mut after);
        if found == after && found != standing {
            standing = after;
            doubts += 1;
        }
        assert_eq!(found, standing, "in doubt was only {doubt:?}");
        compare(&standing, phone, server);
    }
    println!("{acknowledged} changes acknowledged, {doubts} done and not acknowledged");
    assert!(acknowledged > KILLS);
    // Killed right after the answer; the kernel goes on without the daemon.
    for user in standing.clone().into_keys() {
        nightlatch.must(&["user", "revoke", user]);
    }
    daemon.kill();
    compare(&Standing::new(), phone, server);
    let _daemon = nightlatch.daemon();
    compare(&Standing::new(), phone, server);
    let verified = nightlatch.must(&["log", "--verify"]);
    assert!(verified.contains("intact"), "{verified}");
}

#[test]
fn a_full_disk_refuses_a_lease_and_not_the_end_of_one() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let nightlatch = Installation::on(server).with_asterisk();
    let folder = nightlatch.state();
    let folder = folder.display();
    shell(server, &format!("mount -t tmpfs -o size=2m tmpfs {folder}"));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let _echo = Echo::on(server, &[SIGNALLING], &[]);
    nightlatch.must(&["user", "add", "anna", "--services", "sip", "--keys", "none"]);
    let [ours4, ours6] = both(phone).map(|address| address.to_string());
    nightlatch.must(&["lease", "anna", &ours4, "--for", "5s"]);
    let [own4, own6] = both(server).map(|own| SocketAddr::new(own, SIGNALLING));
    assert!(answers_udp(phone, own4));
    shell(server, &format!("dd if=/dev/zero of={folder}/filler bs=4k 2> /dev/null || true"));
    // A few pages may still be free in what SQLite has already.
    let long = "x".repeat(900);
    let begin = now();
    while nightlatch.run_it(&["block", "203.0.113.99", "--reason", &long]).status.success() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the disk does not become full");
    }
    let refused = nightlatch.run_it(&["lease", "anna", &ours6]);
    assert_eq!(refused.status.code(), Some(74), "{}", told(&refused));
    assert!(told(&refused).contains("nothing was changed"), "{}", told(&refused));
    assert!(ignores_udp(phone, own6));
    // The end is the kernel's, and the daemon removes the lease all the same.
    std::thread::sleep(Duration::from_secs(6).saturating_sub(begin.elapsed()));
    assert!(ignores_udp(phone, own4));
    support::wait_until("the lease is removed", Duration::from_secs(60), || {
        nightlatch.json(&["leases"])["leases"].as_array().unwrap().is_empty()
    });
    shell(server, &format!("rm {folder}/filler"));
    nightlatch.must(&["lease", "anna", &ours6]);
    assert!(answers_udp(phone, own6));
    daemon.kill();
    let _daemon = nightlatch.daemon();
    assert!(answers_udp(phone, own6) && ignores_udp(phone, own4));
    let log = nightlatch.must(&["log"]);
    let ends = log.lines().filter(|line| line.contains(&format!("expire anna {ours4}"))).count();
    assert_eq!(ends, 1, "{log}");
    assert!(nightlatch.must(&["log", "--verify"]).contains("intact"));
}

fn hosts(stage: &Stage) -> (&Host, &Host) {
    (stage.host("server").unwrap(), stage.host("traveller").unwrap())
}

/// Another one in every run; a failure names it.
#[expect(clippy::disallowed_methods, reason = "a test may throw dice")]
fn seed() -> u64 {
    let given = std::env::var("NIGHTLATCH_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    given.unwrap_or(u64::from(now.subsec_nanos()) | 1)
}

/// Random numbers (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap();
        &choices[at]
    }
}
