use std::collections::BTreeSet;

use super::*;

const USERS: usize = 1_000;

/// A generator whose numbers follow from its seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(((self.next() >> 32) * bound) >> 32).unwrap()
    }
}

/// Sequences as users get them: neither ascending nor descending, no port next to another.
fn sequences(users: usize, numbers: &mut Numbers) -> Vec<[u16; 3]> {
    let (mut taken, mut all) = (BTreeSet::new(), Vec::new());
    while all.len() < users {
        let ports = [(); 3].map(|()| u16::try_from(1024 + numbers.below(64_511)).unwrap());
        let [a, b, c] = ports;
        let apart = [(a, b), (b, c), (a, c)].iter().all(|(one, other)| one.abs_diff(*other) > 1);
        if apart && (a < b) != (b < c) && ports.iter().all(|port| !taken.contains(port)) {
            taken.extend(ports);
            all.push(ports);
        }
    }
    all
}

fn shuffle(ports: &mut [u16], numbers: &mut Numbers) {
    for last in (1..ports.len()).rev() {
        ports.swap(last, numbers.below(last + 1));
    }
}

/// How many sequences a scan of these ports completes. It takes no time, which is the worst case.
fn openings(machine: &Machine, ports: &[u16]) -> usize {
    let (mut source, now) = (Source::Unknown, Time::from_millis(0));
    let opened = |port: &&u16| matches!(machine.syn(&mut source, **port, now), Outcome::Opened(_));
    ports.iter().filter(opened).count()
}

/// How many of so many random scans of all ports open something.
fn random_scans(scans: usize, seed: u64) -> usize {
    let mut numbers = Numbers(seed);
    let machine = Machine::new(sequences(USERS, &mut numbers));
    let mut ports: Vec<u16> = (1..=u16::MAX).collect();
    let opening = |_: &usize| {
        shuffle(&mut ports, &mut numbers);
        openings(&machine, &ports) > 0
    };
    (0..scans).filter(opening).count()
}

/// `NIGHTLATCH_SCANS` sets how many random ones.
#[test]
fn no_scan_of_all_ports_opens() {
    let mut numbers = Numbers(1);
    let machine = Machine::new(sequences(USERS, &mut numbers));
    let ascending: Vec<u16> = (1..=u16::MAX).collect();
    let descending: Vec<u16> = (1..=u16::MAX).rev().collect();
    assert_eq!((openings(&machine, &ascending), openings(&machine, &descending)), (0, 0));
    // Each port twice, as scanners retransmit.
    let twice = |ports: &[u16]| ports.iter().flat_map(|port| [*port; 2]).collect::<Vec<_>>();
    assert_eq!(openings(&machine, &twice(&ascending)), 0);
    assert_eq!(openings(&machine, &twice(&descending)), 0);
    let scans = std::env::var("NIGHTLATCH_SCANS").map_or(50, |scans| scans.parse().unwrap());
    assert_eq!(random_scans(scans, 3), 0);
}

#[test]
fn the_right_order_opens() {
    let ports = [4000, 2000, 3000];
    let machine = Machine::new([ports, [9000, 7000, 8000]]);
    let at = |seconds: u64| Time::from_millis(0).after(Duration::from_secs(seconds));
    let play = |syns: &[(u16, u64)]| {
        let mut source = Source::Unknown;
        let outcomes =
            syns.iter().map(|(port, seconds)| machine.syn(&mut source, *port, at(*seconds)));
        outcomes.filter(|outcome| matches!(outcome, Outcome::Opened(_))).collect::<Vec<_>>()
    };
    let opened = vec![Outcome::Opened(3000)];
    for (name, syns, expected) in [
        ("in order", vec![(4000, 0), (2000, 0), (3000, 0)], &opened),
        (
            "each twice",
            vec![(4000, 0), (4000, 0), (2000, 1), (2000, 1), (3000, 2), (3000, 2)],
            &opened,
        ),
        ("the first again, late", vec![(4000, 0), (2000, 0), (4000, 0), (3000, 0)], &opened),
        ("begun anew", vec![(4000, 0), (1, 0), (4000, 0), (2000, 0), (3000, 0)], &opened),
        (
            "another's first between",
            vec![(4000, 0), (9000, 0), (4000, 0), (2000, 0), (3000, 0)],
            &opened,
        ),
        ("at the last moment", vec![(4000, 0), (2000, 0), (3000, 14)], &opened),
        ("too late", vec![(4000, 0), (2000, 14), (3000, 15)], &vec![]),
        (
            "a repetition prolongs nothing",
            vec![(4000, 0), (4000, 10), (2000, 14), (3000, 16)],
            &vec![],
        ),
        ("another port between", vec![(4000, 0), (2000, 0), (1, 0), (3000, 0)], &vec![]),
        ("reversed", vec![(3000, 0), (2000, 0), (4000, 0)], &vec![]),
        ("the last two exchanged", vec![(4000, 0), (3000, 0), (2000, 0)], &vec![]),
        ("of two users", vec![(4000, 0), (7000, 0), (8000, 0)], &vec![]),
        ("of two users, mixed", vec![(4000, 0), (2000, 0), (8000, 0), (3000, 0)], &vec![]),
    ] {
        assert_eq!(&play(&syns), expected, "{name}");
    }
    assert_eq!(play(&[(4000, 0), (2000, 0), (3000, 0), (3000, 0), (2000, 0), (3000, 0)]), opened);
}

/// What the kernel gets as a table is what the machine does.
#[test]
fn the_moves_are_those_of_the_machine() {
    let all = [[40, 20, 30], [90, 70, 80], [5, 60, 15]];
    let (machine, now) = (Machine::new(all), Time::from_millis(0));
    let table: Vec<((Stage, u16), Move)> = all.into_iter().flat_map(moves).collect();
    for (number, [first, second, _]) in (0_u32..).zip(all) {
        for (stage, is_second) in [(Stage::First(first), false), (Stage::Second(second), true)] {
            for port in 0..100 {
                let begun = Source::Begun { sequence: number, second: is_second, at: now };
                let mut source = begun;
                let outcome = machine.syn(&mut source, port, now);
                let found =
                    table.iter().find(|(from, _)| *from == (stage, port)).map(|(_, it)| *it);
                match found {
                    Some(Move::Stay) => {
                        assert_eq!((outcome, source), (Outcome::Repeated, begun));
                    }
                    Some(Move::Advance(Stage::Second(_))) => assert_eq!(outcome, Outcome::Advanced),
                    Some(Move::Open(last)) => assert_eq!(outcome, Outcome::Opened(last)),
                    None if all.iter().any(|[first, ..]| *first == port) => {
                        assert_eq!(outcome, Outcome::BegunAnew);
                    }
                    None => assert_eq!((outcome, source), (Outcome::Reset, Source::Unknown)),
                    Some(Move::Advance(Stage::First(_))) => panic!("nothing leads to a first port"),
                }
            }
        }
    }
}

#[test]
fn what_was_completed_is_told_with_its_moment() {
    let opens = Opens {
        services: Grant::of(["sip".parse().unwrap()]),
        hours: None,
        idle: Duration::from_secs(60),
        longest: Some(Duration::from_secs(3600)),
    };
    let knock = Knock { user: "anna".into(), ports: [4000, 2000, 3000], opens };
    assert!(!format!("{knock:?}").contains("000"), "{knock:?}");
    let sequences: Sequences = [knock.clone()].into_iter().collect();
    let address: IpAddr = "203.0.113.7".parse().unwrap();
    let (at, now) = (Time::from_millis(5_000), Time::from_millis(9_000));
    let until = at.after(Duration::from_secs(3600));
    let element = |port| Element { set: &KNOCKED, key: key(address, port), until };
    let sets: LearnedSets = [element(3000), element(77)].into_iter().collect();
    let completed = sequences.completed(&sets, now);
    let found: Vec<_> = completed.iter().map(|it| (it.knock, it.at)).collect();
    assert_eq!(found[1], (Some(&knock), at));
    assert_eq!(found[0].0, None);
    assert_eq!(sequences.opened(address, &sets, now), [&knock]);
}
