//! What it costs the engine to ban many sources at once: `cargo run --release -p nightlatch-core --example
//! ban_speed`.
//!
//! The kernel answers after each event, the disk after a number of events that grows with what it has to write.
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use nightlatch_core::AddrRange;
use nightlatch_core::action::Action;
use nightlatch_core::attack::{Attack, Evidence, Line, Service, Weight};
use nightlatch_core::config::Config;
use nightlatch_core::detect::Finding;
use nightlatch_core::engine::Engine;
use nightlatch_core::event::Event;
use nightlatch_core::features::{self, State, watch};
use nightlatch_core::posture::{Posture, Protection};
use nightlatch_core::time::Time;

const START: i64 = 1_795_000_000_000;
/// So many rows are written while one source is found.
const ROWS_A_SOURCE: usize = 2;

fn main() {
    println!("{:<8} {:>9} {:>9} {:>9}", "weight", "an event", "sources", "ns/ban");
    for weight in [Weight::Full, Weight::Brief] {
        for batch in [1, 400] {
            for sources in [10_000, 20_000, 40_000, 80_000] {
                measure(weight, sources, batch);
            }
        }
    }
}

/// So many sources are found to attack, some in each event.
fn measure(weight: Weight, sources: u32, batch: u32) {
    let posture = Posture {
        protection: Protection::On { since: Time::from_millis(START) },
        ..Posture::default()
    };
    let mut config = Config::default();
    config.bans.max_brief = sources;
    let mut engine = Engine::new(State::with_posture(posture), config);
    let mut now = Time::from_millis(START);
    let mut answers: VecDeque<Event> = VecDeque::new();
    // How many sources must be found until the disk answers.
    let mut disk: Option<u32> = None;
    take(engine.handle(Event::Started, now), &mut answers, &mut disk);
    let began = cpu();
    let mut number = 0;
    loop {
        while let Some(answer) = answers.pop_front() {
            take(engine.handle(answer, now), &mut answers, &mut disk);
        }
        if let Some(left) = &mut disk {
            *left = left.saturating_sub(batch);
            if *left == 0 || number == sources {
                disk = None;
                take(engine.handle(Event::Stored(Ok(())), now), &mut answers, &mut disk);
                continue;
            }
        }
        if number == sources {
            break;
        }
        let end = (number + batch).min(sources);
        let found = (number..end).map(|it| Finding::Attack(attack(it, weight, now)));
        let found = watch::Event::Found { number: end.into(), findings: found.collect() };
        number = end;
        now = Time::from_millis(START + i64::from(number) / 20);
        let event = Event::Feature(features::Event::Watch(found));
        take(engine.handle(event, now), &mut answers, &mut disk);
    }
    let each = (cpu() - began) / u64::from(sources);
    println!("{:<8} {batch:>9} {sources:>9} {each:>9}", format!("{weight:?}"));
    assert_eq!(engine.state().bans.all.len(), usize::try_from(sources).unwrap_or(0));
}

/// Does as the kernel does, and notes when the disk will answer.
fn take(actions: Vec<Action>, answers: &mut VecDeque<Event>, disk: &mut Option<u32>) {
    for action in actions {
        match action {
            Action::Commit { changes, .. } => {
                let sources = changes.len() / ROWS_A_SOURCE;
                *disk = Some(u32::try_from(sources).unwrap_or(u32::MAX).saturating_add(1));
            }
            Action::Deny(deny) => answers.push_back(Event::Denied { to: deny.to, result: Ok(()) }),
            Action::Apply(apply) => {
                answers.push_back(Event::Applied { to: apply.to, result: Ok(()) });
            }
            Action::Load(load) => {
                answers.push_back(Event::Applied { to: load.to, result: Ok(()) });
                answers.push_back(Event::ListsExchanged { to: load.to, result: Ok(()) });
            }
            Action::ListFlows { .. } => answers.push_back(Event::FlowsListed(Ok(()))),
            Action::Cut(_) => answers.push_back(Event::FlowsCut(Ok(()))),
            _ => {}
        }
    }
}

fn attack(number: u32, weight: Weight, now: Time) -> Attack {
    let source = AddrRange::from(std::net::IpAddr::from(Ipv4Addr::from(0x1E00_0000 + number)));
    let line = |_| {
        Line {
        at: now,
        log: "/var/log/auth.log".to_owned(),
        text: "Nov 20 09:17:00 pbx sshd[4711]: Failed password for invalid user admin from 30.0.0.1 port 40001 ssh2".to_owned(),
    }
    };
    let evidence = Evidence {
        service: Service::Ssh,
        attempts: 6,
        score: 6,
        networks: false,
        since: now,
        last: now,
        threshold: (5, 600),
        accounts_tried: 1,
        accounts: vec!["admin".to_owned()],
        lines: (0..3).map(line).collect(),
    };
    Attack { source, weight, trusted_since: None, bantime: None, evidence }
}

/// Nanoseconds for which this thread has had a processor: others may use the machine too.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or_default()
}
