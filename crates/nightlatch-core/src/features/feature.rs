//! The contract between a feature and the engine.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::str::FromStr;

use nightlatch_parse::ranges::RangeList;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::By;
use super::plan::{Fact, Plan};
use super::view::View;
use crate::AddrRange;
use crate::action::{Level, Unlearn};
use crate::api::RefusalKind;
use crate::config::{Config, Table};
use crate::engine::schedule::Begun;
use crate::heard::{Heard, Topic};
use crate::learned::{self, Element, SetSpec};
use crate::policy::{Claim, World};
use crate::signalling::Learned;
use crate::time::Time;

/// A feature: what it keeps, what it claims, what can be asked of it, and what follows.
///
/// It proposes with `&self`; the engine decides, and then changes its records by [`Feature::put`] and
/// the rest of its state by [`Feature::note`]. Whatever has a default does nothing.
pub trait Feature: Clone + Debug + Default + PartialEq {
    /// Its name: of its folder, and of its records in the store.
    const NAME: &'static str;
    /// The kernel's sets from which it learns.
    const SETS: &'static [&'static SetSpec] = &[];

    /// What identifies one of its records.
    type Key: Clone + Debug + Ord + Display + FromStr<Err: Display>;
    /// What it reads from the configuration file.
    type Config: Clone + Debug + Default + PartialEq + Table;
    /// What it keeps on disk; an enum where there are several kinds.
    type Record: Clone + Debug + PartialEq + Serialize;
    /// What can be asked of it.
    type Request: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// What it answers.
    type Reply: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// Why it refuses.
    type Refusal: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Refuses;
    /// What happens that concerns it, other than a change of its records.
    type Event: Clone + Debug + PartialEq;
    /// What it has done in the background.
    type Job: Clone + Debug + PartialEq;
    /// What an administrator must hear of it.
    type Notice: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// What the audit log calls its changes.
    type Deed: Copy + Debug + PartialEq + Display;

    /// Reads a record as the store keeps it.
    ///
    /// # Errors
    /// The body is not that of such a record.
    fn read(key: &Self::Key, body: &str) -> serde_json::Result<Self::Record>;

    /// The key by which a record names itself, if it does.
    fn own_key(_record: &Self::Record) -> Option<Self::Key> {
        None
    }

    /// Puts a record, or removes it, and returns what was there. The only way in which the records of
    /// a feature change: made twice, it leaves the same records.
    fn put(&mut self, key: &Self::Key, record: Option<Self::Record>) -> Option<Self::Record>;

    /// Shows every record.
    fn each(&self, found: &mut dyn FnMut(&Self::Key, &Self::Record));

    /// Makes a record small before it is kept: records may share what is equal.
    fn compact(&mut self, record: Self::Record) -> Self::Record {
        record
    }

    /// Takes in all stored records at once; they are [compact](Feature::compact).
    fn load(&mut self, records: Vec<(Self::Key, Self::Record)>) {
        for (key, record) in records {
            let _ = self.put(&key, Some(record));
        }
    }

    /// Whether a change of this record changes more than claims: chains, rules, ports. It then takes
    /// effect when it is written down.
    fn is_structural(_key: &Self::Key) -> bool {
        false
    }

    /// Whether a record is secret: then the store keeps it apart from the others, and overwrites it when
    /// it is replaced or removed. No step that changes it may have a word for the audit log.
    fn is_secret(_key: &Self::Key) -> bool {
        false
    }

    /// What the audit log keeps of a record, before and after a change.
    fn audited(
        _deed: Self::Deed,
        before: Option<&Self::Record>,
        after: Option<&Self::Record>,
    ) -> (Value, Value) {
        (crate::audit::value(&before), crate::audit::value(&after))
    }

    /// How much a notice matters.
    fn level(_notice: &Self::Notice) -> Level {
        Level::Info
    }

    /// What a notice is about, if an administrator must hear it wherever that person is; otherwise it is
    /// for the journal alone.
    fn topic(_notice: &Self::Notice) -> Option<Topic> {
        None
    }

    /// The administrator must hear something, of whichever feature.
    fn hear(&mut self, _heard: &Heard) {}

    /// The ranges of addresses that a record claims.
    fn claimed(_record: &Self::Record) -> Vec<AddrRange> {
        Vec::new()
    }

    /// The ranges in which claims may be others after a record has changed. A record that is long and
    /// changes little names only what differs, so that the cost of a change follows from the change.
    fn touched(before: Option<&Self::Record>, after: Option<&Self::Record>) -> Vec<AddrRange> {
        before.into_iter().chain(after).flat_map(Self::claimed).collect()
    }

    /// Calls `found` for every claim that overlaps a range at `now`.
    fn claims<'a>(&'a self, _over: AddrRange, _now: Time, _found: &mut dyn FnMut(Claim<'a>)) {}

    /// The elements that a record puts into sets of the kernel that deny something
    /// ([`Filled::FromRecords`](crate::learned::Filled)), each with its end. They are in the kernel before
    /// the record is on disk.
    fn denies(_record: &Self::Record) -> Vec<Element> {
        Vec::new()
    }

    /// Until when an element follows from its records.
    fn denied_until(&self, _set: &'static SetSpec, _key: &learned::Key) -> Option<Time> {
        None
    }

    /// Adds the addresses that its lists name.
    fn list(&self, _into: &mut RangeList) {}

    /// Calls `found` for each of its lists that holds an address.
    fn holding<'a>(&'a self, _address: IpAddr, _found: &mut dyn FnMut(By<'a>)) {}

    /// One of its lists has stopped packets; `alone` if no other list would have.
    fn stopped(&mut self, _list: &Self::Key, _packets: u64, _alone: bool, _now: Time) {}

    /// Whether a request only asks, and what is read before it is answered or decided. A question that
    /// does not say so waits for the commit that runs.
    fn reads(_request: &Self::Request) -> Reads {
        Reads::Nothing
    }

    /// Whether a request may change more than claims: chains, rules, lists. Then it is decided alone, and
    /// nothing is written together with it.
    fn may_be_alone(_request: &Self::Request) -> bool {
        true
    }

    /// What follows from a request.
    ///
    /// # Errors
    /// Why nothing does.
    fn asked(&self, request: Self::Request, view: &View<'_>) -> Result<Plan<Self>, Self::Refusal>;

    /// What follows from something that happened.
    fn happened(&self, _event: Self::Event, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// Notes the events of a plan (`at_once`, `events`), and what the program noted: lists that were kept,
    /// the progress of work. What arrives in [`happened`](Feature::happened) is noted only if that puts it
    /// into its plan. Sees no other feature.
    fn note(&mut self, _event: &Self::Event, _now: Time) {}

    /// Whether what follows from an event is decided at once, even while a commit runs: what it denies is
    /// in the kernel before anything is written down, and stays there if it cannot be. Nothing that opens
    /// may follow from it.
    fn is_urgent(_event: &Self::Event) -> bool {
        false
    }

    /// The same for a request. Whoever asks is answered when it is written down.
    fn is_urgent_request(_request: &Self::Request) -> bool {
        false
    }

    /// What follows from what another feature proposes, or has found out. The changes of that one are
    /// made already.
    fn follow(&self, _fact: &Fact, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// What follows at the start, when all records are loaded.
    fn started(&self, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// Takes in its configuration.
    fn configure(&mut self, _config: &Self::Config) {}

    /// What follows from another configuration. The view has the new one.
    fn configured(&self, _before: &Config, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// What follows from what the kernel's sets contain, which were read just now.
    fn sets_read(&self, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// When [`Feature::due`] has something to propose.
    fn next_due(&self) -> Option<Time> {
        None
    }

    /// What ends by itself, or has come due. Where the disk already says that it ends, it
    /// [must happen](super::Effects::must_happen).
    fn due(&self, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// Calls `found` for each kind of background work, with the time of the next; `None` where it is
    /// done only if something wants it. The time follows from what was noted, such as when it was done
    /// last ([`Pace`](crate::engine::schedule::Pace)); [`Time::default()`] is at once. The view has no
    /// moment here. Where there is nothing to do, there is no work: an engine at rest has no deadline.
    fn tasks(&self, _view: &View<'_>, _found: &mut dyn FnMut(&dyn Display, Option<Time>)) {}

    /// The work that begins now: the jobs, and what is noted at once. Nothing else of the plan counts.
    /// What comes of it arrives in [`happened`](Feature::happened), whose plan names the work in
    /// [`Effects::ends`](super::Effects::ends) or `finishes`: until then it is not begun again.
    fn begin(&self, _task: &str, _begun: &Begun, _view: &View<'_>) -> Plan<Self> {
        Plan::default()
    }

    /// The next moment at which the PBX has to be asked for the sake of this feature.
    fn pbx_needed(&self) -> Option<Time> {
        None
    }

    /// Learned state is about to be forgotten.
    fn unlearning(&mut self, _unlearn: &Unlearn, _learned: &Learned, _now: Time) {}

    /// Whether learned state that allows something may be put back into the kernel's sets.
    fn remembers(&self, _element: &Element, _world: &World<'_>) -> bool {
        true
    }

    /// What `status` says of it. Asked each time: what is shown even if it is empty stands in the JSON.
    fn report(&self, _view: &View<'_>) -> Option<Self::Reply> {
        None
    }

    /// What `why` says of an address.
    fn about(&self, _address: IpAddr, _view: &View<'_>) -> Option<Self::Reply> {
        None
    }
}

/// One record put, or removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Put<F: Feature> {
    /// Which record.
    pub key: F::Key,
    /// What it is from now on; `None` if it is removed.
    pub record: Option<F::Record>,
}

/// What is read before a request is answered or decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// It only asks, and nothing is read.
    Question,
    /// It only asks; the counts of the lists are read.
    Counts,
    /// It is decided; nothing is read.
    Nothing,
    /// It is decided when the sets that the kernel fills were read.
    Learned,
}

/// A reason for a refusal.
pub trait Refuses {
    /// Its kind, from which the exit code follows.
    fn kind(&self) -> RefusalKind;
}
