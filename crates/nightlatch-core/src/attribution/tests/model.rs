//! Our changes and those of others in any order, with reports that come late or not at all, against a kernel that
//! knows what is true.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use super::{OTHERS, program};

/// The process of a program that we ran, but by a wrapper.
const WRAPPED: u32 = 7;

/// What another program changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreign {
    OtherTable,
    /// A set that packets change as well: nobody compares it.
    Learned,
    Accounts,
    Rules,
    /// Lists of which no look finds that something is missing.
    Lists,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Other(Foreign),
    /// A small change of ours.
    Elements,
    /// A part of long lists, while reports are suspended.
    ListPart,
    /// Chains and rules.
    Structure,
    /// The whole table.
    Whole,
    Deliver(usize),
    /// The kernel drops reports, until all that are left have been delivered.
    Congest,
    Look,
    Pass(u64),
}

fn foreign() -> impl Strategy<Value = Foreign> {
    prop_oneof![
        Just(Foreign::OtherTable),
        Just(Foreign::Learned),
        Just(Foreign::Accounts),
        Just(Foreign::Rules),
        Just(Foreign::Lists),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => foreign().prop_map(Step::Other),
        3 => Just(Step::Elements),
        1 => Just(Step::ListPart),
        3 => Just(Step::Structure),
        1 => Just(Step::Whole),
        6 => (1_usize..6).prop_map(Step::Deliver),
        1 => Just(Step::Congest),
        2 => Just(Step::Look),
        2 => (1_u64..400).prop_map(Step::Pass),
    ]
}

/// What others do in the gaps between our own doings, one gap after the other.
fn gaps() -> impl Strategy<Value = Vec<Option<Foreign>>> {
    vec(prop_oneof![3 => Just(None), 1 => foreign().prop_map(Some)], 0..40)
}

/// Whether reports were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Losses {
    #[default]
    Never,
    Before,
    /// All are, until those that are left have been read.
    Now,
}

/// The truth.
#[derive(Debug, Default)]
struct Kernel {
    count: u32,
    own: u32,
    /// What others have done to our rules since they were loaded, by generation; likewise the rest.
    rules: Vec<u32>,
    accounts: Vec<u32>,
    lists: Vec<u32>,
    /// Reports that nobody has read yet.
    reports: VecDeque<Report>,
    losses: Losses,
    has_lists: bool,
    /// Whether reports show that a program of ours was ours: with a wrapper around it they do not.
    is_recognized: bool,
}

impl Kernel {
    fn commit(&mut self, author: Author, touches: Touches) {
        self.count = self.count.wrapping_add(1);
        if author == Author::Us || author == Author::OurProgram {
            self.own = self.own.wrapping_add(1);
        }
        let generation = Some(self.count);
        let author = match author {
            Author::OurProgram if !self.is_recognized => Author::Other(program(WRAPPED)),
            author => author,
        };
        let report =
            Report { generation, author, touches, is_incomplete: false, has_lists: self.has_lists };
        if self.losses != Losses::Now {
            self.reports.push_back(report);
        }
    }

    /// The kernel says that it drops reports before anything that it still has.
    fn say_that_some_are_lost(&mut self) {
        self.reports.push_front(Report {
            generation: None,
            author: Author::Other(Program::default()),
            touches: Touches::Nothing,
            is_incomplete: true,
            has_lists: self.has_lists,
        });
        if self.losses == Losses::Never {
            self.losses = Losses::Before;
        }
    }

    fn count(&self) -> Count {
        Count { generation: self.count, own: self.own }
    }
}

struct World {
    kernel: Kernel,
    gaps: VecDeque<Option<Foreign>>,
    machine: Attribution,
    now: Duration,
    /// What others had done to the rules when they were read behind our load: taken for ours.
    loaded: Vec<u32>,
    /// The processes of others that have touched our table.
    touching: Vec<u32>,
    /// How many of these there were when the table was loaded whole for the last time.
    touching_before: usize,
    next_process: u32,
    /// That one, when the table was loaded whole for the last time.
    others_before: u32,
    restores: usize,
    given_up: usize,
}

impl World {
    fn new(kernel: Kernel, gaps: Vec<Option<Foreign>>) -> World {
        let machine = Attribution::new(kernel.count());
        let mut world = World {
            kernel,
            gaps: gaps.into(),
            machine,
            now: Duration::ZERO,
            loaded: Vec::new(),
            touching: Vec::new(),
            touching_before: 0,
            next_process: OTHERS,
            others_before: OTHERS,
            restores: 0,
            given_up: 0,
        };
        world.load_whole();
        world
    }

    fn foreign(&mut self, what: Foreign) {
        let process = self.next_process;
        self.next_process += 1;
        let touches = match what {
            Foreign::OtherTable => Touches::Nothing,
            Foreign::Learned | Foreign::Accounts => Touches::Elements,
            Foreign::Rules | Foreign::Lists => Touches::ListsOrRules,
        };
        let program = Program { name: "nft".to_owned(), process: Some(process) };
        self.kernel.commit(Author::Other(program), touches);
        if what != Foreign::OtherTable {
            self.touching.push(process);
        }
        let generation = self.kernel.count;
        match what {
            Foreign::Rules => self.kernel.rules.push(generation),
            Foreign::Accounts => self.kernel.accounts.push(generation),
            Foreign::Lists => self.kernel.lists.push(generation),
            Foreign::OtherTable | Foreign::Learned => {}
        }
    }

    /// Others get their chance.
    fn gap(&mut self) {
        if let Some(what) = self.gaps.pop_front().flatten() {
            self.foreign(what);
        }
    }

    /// Loads the whole table, again and again until the kernel has it.
    fn load_whole(&mut self) {
        loop {
            self.touching_before = self.touching.len();
            self.others_before = self.next_process;
            self.machine = Attribution::new(self.kernel.count());
            self.gap();
            self.load_rules();
            self.kernel.commit(Author::Us, Touches::Elements);
            self.kernel.accounts.clear();
            self.kernel.lists.clear();
            self.gap();
            self.read_back();
            if self.kernel.accounts.is_empty() {
                return;
            }
        }
    }

    fn load_structure(&mut self) {
        self.load_rules();
        self.read_back();
    }

    fn load_rules(&mut self) {
        let before = self.kernel.count;
        self.gap();
        self.kernel.commit(Author::OurProgram, Touches::ListsOrRules);
        self.kernel.rules.clear();
        self.gap();
        self.loaded = self.kernel.rules.clone();
        let read_at = self.kernel.count;
        self.machine.loaded(before, read_at, self.now);
    }

    fn read_back(&mut self) {
        self.gap();
        let count = self.kernel.count();
        self.gap();
        if self.kernel.rules == self.loaded {
            self.machine.acknowledged(count);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Other(what) => self.foreign(what),
            Step::Elements => {
                self.kernel.commit(Author::Us, Touches::Elements);
                self.gap();
                self.machine.acknowledged(self.kernel.count());
            }
            Step::ListPart => self.send_list_part(),
            Step::Structure => self.load_structure(),
            Step::Whole => self.load_whole(),
            Step::Deliver(times) => (0..times).for_each(|_| self.deliver()),
            Step::Congest => {
                self.kernel.say_that_some_are_lost();
                self.kernel.losses = Losses::Now;
            }
            Step::Look => self.look_regularly(),
            Step::Pass(millis) => self.pass(Duration::from_millis(millis)),
        }
    }

    fn send_list_part(&mut self) {
        let reports = self.kernel.reports.len();
        let foreign = self.next_process;
        self.gap();
        self.kernel.commit(Author::Us, Touches::ListsOrRules);
        self.kernel.reports.truncate(reports);
        if self.next_process != foreign {
            self.kernel.say_that_some_are_lost();
        }
        if !self.machine.acknowledged(self.kernel.count()) {
            self.look_regularly();
        }
    }

    fn deliver(&mut self) {
        let Some(report) = self.kernel.reports.pop_front() else {
            if self.kernel.losses == Losses::Now {
                self.kernel.losses = Losses::Before;
            }
            return;
        };
        let actions = self.machine.reported(report, self.now);
        self.carry_out(actions);
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        let actions = self.machine.time_passed(false, self.now);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::LoadAgain => self.load_structure(),
                Action::GiveUp => {
                    self.given_up += 1;
                    return self.load_whole();
                }
                Action::Look(look) => self.look(look),
            }
        }
    }

    fn look_regularly(&mut self) {
        if let Some(look) = self.machine.look_due() {
            self.look(look);
        }
    }

    fn look(&mut self, look: Look) {
        let count = self.kernel.count();
        self.gap();
        let is_changed = self.machine.needs_reading(&look, count.generation)
            && (self.kernel.rules != self.loaded || !self.kernel.accounts.is_empty());
        if let Some(Restore { by }) = self.machine.looked(look, count, is_changed, self.now) {
            self.restores += 1;
            let by = by.map(|by| by.process.unwrap());
            if self.kernel.is_recognized {
                let since = self.touching.get(self.touching_before..).unwrap();
                assert!(!since.is_empty(), "restored, but nobody has touched the table");
                assert!(
                    by.is_none_or(|by| since.contains(&by)),
                    "{by:?} has not touched the table"
                );
            } else {
                assert!(self.others_before < self.next_process, "nobody else has changed anything");
            }
            self.load_whole();
        }
    }

    /// Nobody else does anything more, and everything that is due comes.
    fn settle(&mut self) {
        self.gaps.clear();
        for _ in 0..8 {
            while !self.kernel.reports.is_empty() {
                self.deliver();
            }
            self.deliver();
            self.look_regularly();
            self.pass(REPORT_TIMEOUT);
        }
    }

    fn check(&self) {
        if !self.machine.is_unproven() {
            assert_eq!(self.loaded, Vec::<u32>::new(), "a foreign rule is taken for ours");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Nothing that another program did to our table is taken for ours: at the latest the next regular look, and
    /// the time for a report behind it, lead to a table as it was loaded. Nobody is blamed who did nothing, and
    /// never we. It does not go on for ever: each restoring has a change by others as its cause.
    #[test]
    fn foreign_changes_are_found_and_own_ones_are_not_reported(
        count in prop_oneof![Just(5_u32), Just(u32::MAX - 10), Just(u32::MAX / 2 - 10)],
        has_lists: bool,
        is_recognized: bool,
        steps in vec(step(), 0..60),
        gaps in gaps(),
    ) {
        let kernel = Kernel { count, has_lists, is_recognized, ..Kernel::default() };
        let mut world = World::new(kernel, gaps);
        for step in steps {
            world.take(step);
            world.check();
        }
        world.settle();
        world.check();
        prop_assert_eq!(&world.kernel.rules, &Vec::<u32>::new());
        prop_assert_eq!(&world.kernel.accounts, &Vec::<u32>::new());
        if has_lists && world.kernel.losses == Losses::Never {
            prop_assert_eq!(&world.kernel.lists, &Vec::<u32>::new());
        }
        prop_assert!(!world.machine.is_doubtful() && !world.machine.is_unproven());
        prop_assert_eq!(world.machine.known_up_to(), world.kernel.count);
        let others = usize::try_from(world.next_process - OTHERS).unwrap();
        let causes = if is_recognized { world.touching.len() } else { others };
        prop_assert!(world.restores <= causes);
        prop_assert!(world.given_up * usize::try_from(MAX_LOADS).unwrap() <= others);
    }

    /// Whatever others do to their own tables, and whatever is lost, nothing is restored.
    #[test]
    fn other_tables_do_not_matter(
        steps in vec(step(), 0..60),
        gaps in vec(any::<bool>(), 0..40),
    ) {
        let other = |busy: bool| busy.then_some(Foreign::OtherTable);
        let kernel = Kernel { has_lists: true, is_recognized: true, ..Kernel::default() };
        let mut world = World::new(kernel, gaps.into_iter().map(other).collect());
        for step in steps {
            world.take(match step {
                Step::Other(_) => Step::Other(Foreign::OtherTable),
                step => step,
            });
            prop_assert!(!world.machine.is_doubtful());
        }
        world.settle();
        prop_assert_eq!(world.restores, 0);
        prop_assert!(!world.machine.is_doubtful() && !world.machine.is_unproven());
    }
}
