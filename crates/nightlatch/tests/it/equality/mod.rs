//! Policy and kernel are one: for random accounts, blocks, modes and services, and for random
//! packets, what the real kernel does is what `policy::judge` says.
//!
//! `NIGHTLATCH_EQUALITY_SEED` repeats a run, `NIGHTLATCH_EQUALITY_CASES` sets how many packets are
//! sent.

mod dice;
mod field;
mod kernel;
mod knocks;
mod packets;
mod records;
mod shrink;
mod state;

use nightlatch_core::policy::Reason;
use nightlatch_core::signalling::LearnedBy;
use nightlatch_lab::stage::{HostPlan, NetworkPlan, Plan};

use crate::support;
use dice::Dice;
use field::Field;

/// Packets for each state.
const EACH: usize = 60;
/// Packets in all, unless said otherwise.
const CASES: usize = 9000;

#[test]
fn policy_and_kernel_are_one() {
    let plan = Plan::standard()
        .without("office")
        .without("traveller")
        .without("attacker")
        .host(HostPlan::new("crowd", "lan-server", &["198.51.100.9/24", "2001:db8:1::9/64"]))
        .network(NetworkPlan::new("sink", &["192.0.2.65/26", "2001:db8:c::1/64"]).behind("server"))
        .host(HostPlan::new("pit", "sink", &["192.0.2.66/26", "2001:db8:c::66/64"]));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let (server, crowd) = (stage.host("server").unwrap(), stage.host("crowd").unwrap());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("NIGHTLATCH_EQUALITY_SEED").unwrap_or_else(dice::any_seed);
    let cases = number("NIGHTLATCH_EQUALITY_CASES").map_or(CASES, |n| usize::try_from(n).unwrap());
    println!("seed {seed}");
    let field = Field::prepare(server, crowd, stage.host("pit").unwrap());
    server.run(|| play(field, seed, cases)).unwrap();
}

/// How often each kind of answer came, so that none is missed by chance.
#[derive(Debug, Default)]
struct Tally(std::collections::BTreeMap<&'static str, usize>);

fn play(mut field: Field, seed: u64, cases: usize) {
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    for round in 0..cases.div_ceil(EACH) {
        let mut state = state::random(&mut dice);
        let numbers = round * EACH..(round + 1) * EACH;
        let packets: Vec<_> = numbers.map(|n| packets::random(&mut dice, &state, n)).collect();
        // Half of the states follow on the one before, as the daemon goes from change to change;
        // the flows that run then were begun by the host alone.
        let afresh = dice.one_in(2);
        field.set(&mut state, &packets, afresh);
        for case in &packets {
            if !afresh && case.needs_open_ground() {
                continue;
            }
            field.read_calls(&mut state);
            let verdict = case.judged(&state);
            tally.count(&verdict.reason);
            if let Reason::Account { names } = &verdict.reason {
                let has_host = names.iter().any(|name| state.names_host(name, case.packet.peer));
                tally.note("host name", has_host);
            }
            if let Err(difference) = field.try_out(&state, case, &verdict) {
                let (state, case) = shrink::shrink(&mut field, state.clone(), case.clone());
                let verdict = case.judged(&state);
                panic!(
                    "seed {seed}, round {round}: the kernel differs: {difference}\n\
                     smallest: {state:#?}\n{case:#?}\npolicy: {verdict:?}"
                );
            }
        }
    }
    println!("{tally:?}");
    for reason in Tally::ALL {
        let seen = tally.0.get(reason).copied().unwrap_or(0);
        assert!(cases < CASES || seen > 0, "no packet met \"{reason}\": {tally:?}");
    }
}

impl Tally {
    const ALL: [&str; 20] = [
        "banned",
        "knock",
        "host name",
        "lease",
        "loopback",
        "answer",
        "running",
        "essential",
        "elsewhere",
        "blocked",
        "account",
        "open",
        "listed",
        "stranger",
        "denied",
        "media",
        "registered",
        "called",
        "asked",
        "registered by tcp",
    ];

    fn note(&mut self, name: &'static str, is_so: bool) {
        if is_so {
            *self.0.entry(name).or_default() += 1;
        }
    }

    fn count(&mut self, reason: &Reason) {
        let name = match reason {
            Reason::Off => "off",
            Reason::Loopback => "loopback",
            Reason::Answer => "answer",
            Reason::Running => "running",
            Reason::Essential => "essential",
            Reason::NotForThisHost => "elsewhere",
            Reason::Blocked { .. } => "blocked",
            Reason::Banned { .. } => "banned",
            Reason::Account { names } if names.iter().any(|name| name.starts_with("user-")) => {
                "lease"
            }
            Reason::Account { names } if names.iter().any(|name| name.starts_with("knocker-")) => {
                "knock"
            }
            Reason::Account { .. } => "account",
            Reason::OpenService { limited: false, .. } => "open",
            Reason::OpenService { limited: true, .. } => "limited",
            Reason::Denied { .. } => "denied",
            Reason::Media => "media",
            Reason::Peer { by: LearnedBy::Registered, .. } => "registered",
            Reason::Peer { by: LearnedBy::Called, .. } => "called",
            Reason::Peer { by: LearnedBy::Asked, .. } => "asked",
            Reason::Peer { by: LearnedBy::RegisteredByTcp, .. } => "registered by tcp",
            Reason::Listed => "listed",
            Reason::Stranger => "stranger",
        };
        *self.0.entry(name).or_default() += 1;
    }
}
