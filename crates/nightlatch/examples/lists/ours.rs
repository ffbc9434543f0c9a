//! What the daemon does with a list: reads it, joins it, brings the kernel's table to it, and reads
//! that back.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nightlatch::shell::firewall::Firewall;
use nightlatch_core::config::Rules;
use nightlatch_core::features::State;
use nightlatch_core::policy::World;
use nightlatch_core::posture::{Mode, Posture, Protection};
use nightlatch_core::ruleset::{self, Ruleset};
use nightlatch_core::signalling::Learned;
use nightlatch_core::time::Time;
use nightlatch_parse::feed::{self, Format};
use nightlatch_parse::ranges::RangeList;

use crate::{Taken, peak_of};

const NOW: Time = Time::from_millis(0);

pub(crate) fn load(old: &Path, new: Option<&Path>) -> Taken {
    let mut firewall = Firewall::open().unwrap();
    // A firewall without lists stands before, as it does where the first feed is added.
    firewall.load_with_lists(with(RangeList::new()), None, Vec::new()).unwrap().unwrap();
    let mut bring = |file: &Path| {
        let started = Instant::now();
        let list = Arc::new(read(file));
        firewall.exchange(&list).unwrap();
        started.elapsed().as_secs_f64()
    };
    let first = bring(old);
    let seconds = new.map_or(first, bring);
    Taken { seconds, kilobytes: peak_of("self").unwrap() }
}

fn read(file: &Path) -> RangeList {
    let text = std::fs::read(file).unwrap();
    let mut list = feed::parse(&text, &Format::Auto, 1_000_000).unwrap().ranges;
    list.merge();
    list
}

/// The open mode of a new installation, with one list.
fn with(list: RangeList) -> Ruleset {
    let rules = Rules::default();
    let (mode, protection) = (Mode::Open, Protection::On { since: NOW });
    let state = State::with_posture(Posture { mode, protection, ..Posture::default() });
    let catalogue = rules.catalogue(&state.posture().site);
    let world = World {
        state: &state,
        rules: &rules,
        catalogue: &catalogue,
        learned: &Learned::default(),
        assume_listed: None,
        now: NOW,
    };
    ruleset::compile(&world, Arc::new(list))
}
