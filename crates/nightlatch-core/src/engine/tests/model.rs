//! Random requests, ends and failures, against a model so simple that it is plainly right; after
//! every step the invariants of the design.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::api::Cause;
use crate::policy::{self, Packet, What};
use crate::time::is_over;
use Up;

/// Where the caller sits.
const HOME: &str = "203.0.113.7";
const GATEWAY: &str = "198.51.100.254";
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const RANGES: [&str; 8] = [
    HOME,
    "203.0.113.0/28",
    "203.0.113.0/24",
    "203.0.113.8",
    GATEWAY,
    "198.51.100.0/24",
    "2001:db8::/64",
    "2001:db8::7",
];
const GRANTS: [&str; 4] = ["all", "ssh", "sip,web", "ssh,sip"];

#[derive(Clone, Debug)]
enum Step {
    Ask(Ask),
    Wait(u64),
    Tamper,
    /// Whether the store works from now on.
    Store(bool),
    /// Whether the kernel does.
    Kernel(bool),
}

#[derive(Clone, Debug)]
enum Ask {
    Allow { name: usize, ranges: Vec<usize>, grant: usize, lasts: Option<u64> },
    Remove { name: usize, force: bool },
    Block { range: usize, lasts: Option<u64>, force: bool },
    Unblock { range: usize },
    Mode { open: bool, force: bool },
    Up { open: Option<bool>, trial: bool },
    Confirm,
    Rollback,
    Down,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES.len();
    let range = 0..RANGES.len();
    let lasts = proptest::option::of(1u64..100);
    let ask = prop_oneof![
        4 => (name.clone(), proptest::collection::vec(range.clone(), 1..4), 0..GRANTS.len(), lasts.clone())
            .prop_map(|(name, ranges, grant, lasts)| Ask::Allow { name, ranges, grant, lasts }),
        3 => (name, any::<bool>()).prop_map(|(name, force)| Ask::Remove { name, force }),
        3 => (range.clone(), lasts, any::<bool>())
            .prop_map(|(range, lasts, force)| Ask::Block { range, lasts, force }),
        2 => range.prop_map(|range| Ask::Unblock { range }),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(open, force)| Ask::Mode { open, force }),
        2 => (proptest::option::of(any::<bool>()), any::<bool>())
            .prop_map(|(open, trial)| Ask::Up { open, trial }),
        1 => Just(Ask::Confirm),
        1 => Just(Ask::Rollback),
        1 => Just(Ask::Down),
    ];
    let step = prop_oneof![
        12 => ask.prop_map(Step::Ask),
        3 => (1u64..70).prop_map(Step::Wait),
        1 => Just(Step::Tamper),
        1 => any::<bool>().prop_map(Step::Store),
        1 => any::<bool>().prop_map(Step::Kernel),
    ];
    proptest::collection::vec(step, 1..40)
}

fn site() -> Site {
    Site { guarded: vec![(range(GATEWAY), "the gateway".to_owned())], ..Site::default() }
}

fn request(ask: &Ask) -> Request {
    let open = |open: bool| if open { Mode::Open } else { Mode::Allowlist };
    let seconds = Duration::from_secs;
    match ask.clone() {
        Ask::Allow { name, ranges, grant, lasts } => {
            Request::of(accounts::Request::Allow(NewAccount {
                hours: None,
                name: NAMES[name].parse().unwrap(),
                entries: ranges.iter().map(|at| Entry::Range(range(RANGES[*at]))).collect(),
                services: Grant::parse(GRANTS[grant]).unwrap(),
                lasts: lasts.map(seconds),
                until: None,
                note: String::new(),
                hosts: accounts::HostOptions::default(),
            }))
        }
        Ask::Remove { name, force } => {
            let name = NAMES[name].parse().unwrap();
            Request::of(accounts::Request::Remove { name }).forced(force)
        }
        Ask::Block { range: at, lasts, force } => Request::of(blocks::Request::Set(NewBlock {
            range: range(RANGES[at]),
            lasts: lasts.map(seconds),
            reason: String::new(),
        }))
        .forced(force),
        Ask::Unblock { range } => unblock(RANGES[range]),
        Ask::Mode { open: wanted, force } => {
            Request::of(firewall::Request::Mode { mode: open(wanted) }).forced(force)
        }
        Ask::Up { open: wanted, trial } => put_up(Up {
            mode: wanted.map(open),
            accounts: vec![account(&format!("admin {HOME} ssh"))],
            site: site(),
            trial: trial.then_some(Duration::from_secs(60)),
            ..Up::default()
        }),
        Ask::Confirm => confirm(),
        Ask::Rollback => rollback(),
        Ask::Down => down(),
    }
}

/// Names and ends, and nothing of how they came about.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    accounts: BTreeMap<String, Option<Time>>,
    blocks: BTreeMap<String, Option<Time>>,
    mode: Mode,
    /// When the firewall falls back, and to which mode, if to any.
    trial: Option<(Time, Option<Mode>)>,
    on: bool,
}

impl Model {
    fn of(state: &State) -> Model {
        let accounts = state.accounts.all.iter().map(|(name, a)| (name.to_string(), a.until));
        let blocks = state.blocks.all.iter().map(|(range, b)| (range.to_string(), b.until));
        let trial = match &state.posture().protection {
            Protection::Trial { until, before, .. } => Some((*until, *before)),
            _ => None,
        };
        Model {
            accounts: accounts.collect(),
            blocks: blocks.collect(),
            mode: state.posture().mode,
            trial,
            on: state.posture().protection.stands(),
        }
    }

    /// What was done is done; `false` where it could not have been.
    fn done(&mut self, ask: &Ask, now: Time) -> bool {
        let end = |lasts: &Option<u64>| lasts.map(|span| now.after(Duration::from_secs(span)));
        let mode = |open: bool| if open { Mode::Open } else { Mode::Allowlist };
        match ask {
            Ask::Allow { name, lasts, .. } => {
                self.accounts.insert(NAMES[*name].to_owned(), end(lasts)).is_none()
            }
            Ask::Remove { name, .. } => self.accounts.remove(NAMES[*name]).is_some(),
            Ask::Block { range, lasts, .. } => {
                self.blocks.insert(RANGES[*range].to_owned(), end(lasts));
                true
            }
            Ask::Unblock { range } => self.blocks.remove(RANGES[*range]).is_some(),
            Ask::Mode { open, .. } => {
                self.mode = mode(*open);
                true
            }
            Ask::Up { open, trial } => {
                let wanted = open.map_or(self.mode, mode);
                let before = match self.trial {
                    Some((_, before)) => before,
                    None => self.on.then_some(self.mode),
                };
                let risky = !self.on || self.trial.is_some() || wanted != self.mode;
                let until = now.after(Duration::from_secs(60));
                self.trial = (*trial && risky).then_some((until, before));
                self.accounts.entry("admin".to_owned()).or_insert(None);
                (self.mode, self.on) = (wanted, true);
                true
            }
            Ask::Confirm => self.trial.take().is_some(),
            Ask::Rollback => self.take_back(),
            Ask::Down => {
                (self.on, self.trial) = (false, None);
                true
            }
        }
    }

    fn take_back(&mut self) -> bool {
        let Some((_, before)) = self.trial.take() else { return false };
        self.on = before.is_some();
        self.mode = before.unwrap_or(self.mode);
        true
    }

    fn pass(&mut self, now: Time) {
        self.accounts.retain(|_, until| !is_over(*until, now));
        self.blocks.retain(|_, until| !is_over(*until, now));
        if self.trial.is_some_and(|(until, _)| until <= now) {
            self.take_back();
        }
    }
}

fn passes(desk: &Desk, address: &str, port: u16) -> bool {
    let peer: IpAddr = address.parse().unwrap();
    let what = What::Tcp { port };
    let packet = Packet::new(peer, what);
    policy::judge(&desk.engine.world(desk.now), &packet).passes
}

/// What changed has a record that names it.
fn is_recorded(before: &State, after: &State, records: &[Record]) -> bool {
    let subjects: BTreeSet<&str> = records.iter().map(|record| record.subject.as_str()).collect();
    let acts = |words: &[&str]| records.iter().any(|r| words.contains(&r.action.as_str()));
    let accounts: BTreeSet<_> =
        before.accounts.all.keys().chain(after.accounts.all.keys()).collect();
    let blocks: BTreeSet<_> = before.blocks.all.keys().chain(after.blocks.all.keys()).collect();
    accounts
        .iter()
        .filter(|name| before.accounts.all.get(name) != after.accounts.all.get(name))
        .all(|name| subjects.contains(name.as_str()))
        && blocks
            .iter()
            .filter(|range| before.blocks.all.get(range) != after.blocks.all.get(range))
            .all(|range| subjects.contains(range.to_string().as_str()))
        && (before.posture().mode == after.posture().mode || acts(&["mode", "rollback"]))
        && (before.posture().protection == after.posture().protection
            || acts(&["up", "confirm", "rollback", "down"]))
}

/// One step, and all that must hold after it.
fn take(desk: &mut Desk, model: &mut Model, forced: &mut BTreeSet<String>, step: &Step) {
    let before = desk.engine.state().clone();
    let (records, projections) = (desk.records.len(), desk.projections.len());
    let desired = desk.engine.desired(desk.now);
    let came_in = passes(desk, HOME, 22);
    let mut may_cut = false;
    match step {
        Step::Wait(seconds) => {
            desk.wait(*seconds);
            model.pass(desk.now);
            may_cut = true;
        }
        Step::Tamper => desk.feed(Event::Tampered { by: "x".into(), found: "y".into() }),
        Step::Store(works) => desk.store = works.then_some(()).ok_or_else(|| "full".to_owned()),
        Step::Kernel(works) => desk.kernel = works.then_some(()).ok_or_else(|| "busy".to_owned()),
        Step::Ask(ask) => {
            let reply = desk.ask(request(ask));
            let written = match &reply {
                Reply::Refused(refusal) => matches!(refusal.why, Cause::NotInKernel { .. }),
                _ => true,
            };
            if written {
                assert!(model.done(ask, desk.now), "{ask:?}: {reply:?}");
            } else {
                assert_eq!(*desk.engine.state(), before, "{reply:?}");
            }
            if let (Ask::Block { range, force: true, .. }, true) = (ask, written) {
                forced.insert(RANGES[*range].to_owned());
            }
            may_cut = match ask {
                Ask::Remove { force, .. } | Ask::Block { force, .. } | Ask::Mode { force, .. } => {
                    *force
                }
                // What it may end it shows before, on the screen.
                Ask::Up { .. } => true,
                _ => false,
            };
        }
    }
    let state = desk.engine.state();
    assert_eq!(Model::of(state), *model);
    assert!(may_cut || !came_in || passes(desk, HOME, 22), "the caller was shut out by {step:?}");
    for guarded in state.blocks.all.keys().filter(|range| range.contains(GATEWAY.parse().unwrap()))
    {
        assert!(forced.contains(&guarded.to_string()), "{guarded} was never forced");
    }
    if desk.store.is_ok() {
        assert!(is_recorded(&before, state, &desk.records[records..]), "{step:?}");
    }
    if desk.engine.desired(desk.now) != desired {
        assert!(desk.projections.len() > projections, "{step:?} did not reach the kernel");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_after_every_step(steps in steps()) {
        let mut desk = Desk::new(State::with_posture(Posture { site: site(), ..Posture::default() }));
        desk.caller = anna_from(HOME);
        let first = desk.engine.state().clone();
        let (mut model, mut forced) = (Model::default(), BTreeSet::new());
        let mut never_failed = true;
        for step in &steps {
            take(&mut desk, &mut model, &mut forced, step);
            never_failed &= desk.store.is_ok();
            // A failed store loses only ends, which come again after a restart.
            if never_failed {
                prop_assert_eq!(&desk.stored(&first), desk.engine.state());
            }
            if !desk.table.is_behind {
                prop_assert_eq!(&desk.table.ruleset(), &desk.engine.desired(desk.now));
            }
        }
        // Once the kernel works again it gets everything, and nobody has to ask for it.
        desk.kernel = Ok(());
        desk.wait(10);
        model.pass(desk.now);
        prop_assert_eq!(Model::of(desk.engine.state()), model);
        prop_assert_eq!(&desk.table.ruleset(), &desk.engine.desired(desk.now));
    }
}
