//! What follows from the list of features: one enum for each kind of thing that features have, and the
//! way from each variant to its feature.

macro_rules! features {
    ($($name:ident: $Name:ident,)*) => {
        $(use super::$name::$Name;)*

        /// The state of all features.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct State {
            $(
                #[allow(missing_docs, reason = "its folder says it")]
                pub $name: $Name,
            )*
        }

        /// The checked configuration, by feature.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            $(
                #[allow(missing_docs, reason = "its folder says it")]
                pub $name: <$Name as Feature>::Config,
            )*
        }

        impl Config {
            /// Reads a configuration file.
            ///
            /// # Errors
            /// The first mistake, with its place and what to do about it.
            pub fn read(text: &str) -> Result<Config, Mistake> {
                let file = File::of(text, &Config::tables())?;
                Ok(Config { $($name: Table::read(&file)?,)* })
            }

            /// The names of all tables.
            pub(crate) fn tables() -> Vec<&'static str> {
                [$(<$Name as Feature>::Config::NAMES),*].concat()
            }
        }

        envelope! {
            /// What is asked of a feature.
            #[serde(rename_all = "snake_case")]
            Request [Serialize, Deserialize] $($Name(<$Name as Feature>::Request)),*
        }
        envelope! {
            /// What a feature answers.
            #[serde(rename_all = "snake_case")]
            Reply [Serialize, Deserialize] $($Name(<$Name as Feature>::Reply)),*
        }
        envelope! {
            /// What an administrator must hear of a feature.
            #[serde(rename_all = "snake_case")]
            Notice [Serialize, Deserialize] $($Name(<$Name as Feature>::Notice)),*
        }
        envelope! {
            /// Why a feature refuses.
            #[serde(rename_all = "snake_case")]
            Refusal [Serialize, Deserialize] $($Name(<$Name as Feature>::Refusal)),*
        }
        envelope! {
            /// What happened that concerns a feature.
            Event [] $($Name(<$Name as Feature>::Event)),*
        }
        envelope! {
            /// What a feature has done in the background.
            Job [] $($Name(<$Name as Feature>::Job)),*
        }
        envelope! {
            /// One record put, or removed. Whole, not a step: made twice, it leaves the same state.
            Change [] $($Name(Put<$Name>)),*
        }
        envelope! {
            /// What the audit log calls a change.
            Deed [Copy] $($Name(<$Name as Feature>::Deed)),*
        }

        /// Which record.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Id {
            $(
                #[allow(missing_docs, reason = "its folder says it")]
                $Name(<$Name as Feature>::Key),
            )*
        }

        /// Which record makes a claim.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum By<'a> {
            $(
                #[allow(missing_docs, reason = "its folder says it")]
                $Name(&'a <$Name as Feature>::Key),
            )*
        }

        impl By<'_> {
            /// The same, owned.
            pub fn id(&self) -> Id {
                match *self {
                    $(By::$Name(key) => Id::$Name(key.clone()),)*
                }
            }
        }

        /// Writes the key.
        impl std::fmt::Display for By<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(By::$Name(key) => key.fmt(f),)*
                }
            }
        }

        /// Writes the word of the audit log.
        impl std::fmt::Display for Deed {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Deed::$Name(deed) => deed.fmt(f),)*
                }
            }
        }

        impl Deed {
            /// What the audit log keeps of a record, before and after a change.
            pub fn audited(&self, before: &Change, after: &Change) -> (Value, Value) {
                match (self, before, after) {
                    $((Deed::$Name(deed), Change::$Name(before), Change::$Name(after)) => {
                        $Name::audited(*deed, before.record.as_ref(), after.record.as_ref())
                    })*
                    _ => (Value::Null, Value::Null),
                }
            }
        }

        impl Notice {
            /// The feature from which it comes, and what it is about.
            pub fn topic(&self) -> Option<(&'static str, Topic)> {
                match self {
                    $(Notice::$Name(notice) => Some(($Name::NAME, $Name::topic(notice)?)),)*
                }
            }

            /// How much it matters.
            pub fn level(&self) -> Level {
                match self {
                    $(Notice::$Name(notice) => $Name::level(notice),)*
                }
            }
        }

        impl Refuses for Refusal {
            fn kind(&self) -> RefusalKind {
                match self {
                    $(Refusal::$Name(refusal) => refusal.kind(),)*
                }
            }
        }

        impl Event {
            /// Whether what follows is decided at once, even while a commit runs.
            pub fn is_urgent(&self) -> bool {
                match self {
                    $(Event::$Name(event) => $Name::is_urgent(event),)*
                }
            }
        }

        impl Request {
            /// Whether it is decided at once, even while a commit runs.
            pub fn is_urgent(&self) -> bool {
                match self {
                    $(Request::$Name(request) => $Name::is_urgent_request(request),)*
                }
            }

            /// Whether it may change more than claims: chains, rules, lists.
            pub fn may_be_alone(&self) -> bool {
                match self {
                    $(Request::$Name(request) => $Name::may_be_alone(request),)*
                }
            }

            /// What is read before it is answered or decided.
            pub fn reads(&self) -> Reads {
                match self {
                    $(Request::$Name(request) => $Name::reads(request),)*
                }
            }
        }

        impl State {
            /// Makes a change, and returns the one that takes it back.
            pub fn apply(&mut self, change: Change) -> Change {
                match change {
                    $(Change::$Name(Put { key, record }) => {
                        let record = self.$name.put(&key, record);
                        Change::$Name(Put { key, record })
                    })*
                }
            }

            /// Calls `found` for every claim that overlaps a range at `now`.
            pub fn claims<'a>(
                &'a self,
                over: AddrRange,
                now: Time,
                found: &mut dyn FnMut(Claim<'a>),
            ) {
                $(self.$name.claims(over, now, found);)*
            }

            /// Calls `found` for each element that follows from records, ended or not.
            pub fn denied(&self, found: &mut dyn FnMut(Element)) {
                $(self.$name.each(&mut |_, record| {
                    $Name::denies(record).into_iter().for_each(&mut *found);
                });)*
            }

            /// Until when an element follows from records, if it does.
            pub fn denied_until(&self, set: &'static SetSpec, key: &LearnedKey) -> Option<Time> {
                [$(self.$name.denied_until(set, key),)*].into_iter().flatten().max()
            }

            /// All that the lists name.
            pub fn lists(&self) -> RangeList {
                let mut all = RangeList::new();
                $(self.$name.list(&mut all);)*
                all
            }

            /// Calls `found` for each list that holds an address.
            pub fn holding<'a>(&'a self, address: IpAddr, found: &mut dyn FnMut(By<'a>)) {
                $(self.$name.holding(address, found);)*
            }

            /// A list has stopped packets.
            pub fn stopped(&mut self, list: &Id, packets: u64, alone: bool, now: Time) {
                match list {
                    $(Id::$Name(key) => self.$name.stopped(key, packets, alone, now),)*
                }
            }

            /// What follows from a request.
            ///
            /// # Errors
            /// Why nothing does.
            pub fn asked(
                &self,
                request: Request,
                view: &View<'_>,
            ) -> Result<Proposal, Box<Refusal>> {
                match request {
                    $(Request::$Name(request) => match self.$name.asked(request, view) {
                        Ok(plan) => Ok(plan.into()),
                        Err(refusal) => Err(Box::new(Refusal::$Name(refusal))),
                    },)*
                }
            }

            /// What follows from something that happened.
            pub fn happened(&self, event: Event, view: &View<'_>) -> Proposal {
                match event {
                    $(Event::$Name(event) => self.$name.happened(event, view).into(),)*
                }
            }

            /// Notes what happened.
            pub fn note(&mut self, event: &Event, now: Time) {
                match event {
                    $(Event::$Name(event) => self.$name.note(event, now),)*
                }
            }

            /// What follows from what one feature proposes, or has found out.
            pub fn follow(&self, fact: &Fact, view: &View<'_>) -> Vec<Proposal> {
                proposals([$(self.$name.follow(fact, view).into(),)*])
            }

            /// The administrator must hear something.
            pub fn hear(&mut self, heard: &Heard) {
                $(self.$name.hear(heard);)*
            }

            /// What follows at the start.
            pub fn started(&self, view: &View<'_>) -> Vec<Proposal> {
                proposals([$(self.$name.started(view).into(),)*])
            }

            /// Takes in the configuration of each feature.
            pub fn configure(&mut self, config: &Config) {
                $(self.$name.configure(&config.$name);)*
            }

            /// What follows from another configuration.
            pub fn configured(&self, before: &Config, view: &View<'_>) -> Vec<Proposal> {
                proposals([$(self.$name.configured(before, view).into(),)*])
            }

            /// What follows from what the kernel's sets contain.
            pub fn sets_read(&self, view: &View<'_>) -> Vec<Proposal> {
                proposals([$(self.$name.sets_read(view).into(),)*])
            }

            /// For each feature the next moment at which something ends by itself, or comes due.
            pub fn next_due(&self) -> impl Iterator<Item = (&'static str, Time)> {
                let due = [$(($Name::NAME, self.$name.next_due()),)*];
                due.into_iter().filter_map(|(name, at)| Some((name, at?)))
            }

            /// What ends by itself, or has come due.
            pub fn due(&self, view: &View<'_>) -> Vec<Proposal> {
                proposals([$(self.$name.due(view).into(),)*])
            }

            /// All background work, with the time of the next.
            pub fn tasks(&self, view: &View<'_>) -> Vec<(Task, Option<Time>)> {
                let mut tasks = Vec::new();
                $(self.$name.tasks(view, &mut |name, at| {
                    tasks.push((Task::new($Name::NAME, name), at));
                });)*
                tasks
            }

            /// The work that begins now.
            pub fn begin(
                &self,
                task: &Task,
                begun: &Begun,
                view: &View<'_>,
            ) -> Option<Proposal> {
                match task.feature {
                    $(<$Name as Feature>::NAME => {
                        Some(self.$name.begin(&task.name, begun, view).into())
                    })*
                    _ => None,
                }
            }

            /// The next moment at which the PBX has to be asked for the sake of a feature.
            pub fn pbx_needed(&self) -> Option<Time> {
                [$(self.$name.pbx_needed(),)*].into_iter().flatten().min()
            }

            /// Learned state is about to be forgotten.
            pub fn unlearning(&mut self, unlearn: &Unlearn, learned: &Learned, now: Time) {
                $(self.$name.unlearning(unlearn, learned, now);)*
            }

            /// Whether learned state that allows something may be put back into the kernel's sets.
            pub fn remembers(&self, element: &Element, world: &World<'_>) -> bool {
                true $(&& self.$name.remembers(element, world))*
            }

            /// What `status` says of each feature.
            pub fn report(&self, view: &View<'_>) -> Vec<Reply> {
                [$(self.$name.report(view).map(Reply::$Name),)*].into_iter().flatten().collect()
            }

            /// What `why` says of an address.
            pub fn about(&self, address: IpAddr, view: &View<'_>) -> Vec<Reply> {
                [$(self.$name.about(address, view).map(Reply::$Name),)*]
                    .into_iter()
                    .flatten()
                    .collect()
            }
        }

        impl Change {
            /// The record that it concerns.
            pub fn id(&self) -> Id {
                crate::effort::step();
                match self {
                    $(Change::$Name(put) => Id::$Name(put.key.clone()),)*
                }
            }

            /// Whether it removes the record.
            pub fn is_removal(&self) -> bool {
                match self {
                    $(Change::$Name(put) => put.record.is_none(),)*
                }
            }

            /// The ranges of addresses that the record claims from now on. For what it claimed before,
            /// see the change that takes it back.
            pub fn ranges(&self) -> Vec<AddrRange> {
                match self {
                    $(Change::$Name(put) => {
                        put.record.as_ref().map_or_else(Vec::new, $Name::claimed)
                    })*
                }
            }

            /// The ranges in which claims may be others, where `undo` takes it back.
            pub fn touched(&self, undo: &Change) -> Vec<AddrRange> {
                match (undo, self) {
                    $((Change::$Name(before), Change::$Name(after)) => {
                        $Name::touched(before.record.as_ref(), after.record.as_ref())
                    })*
                    _ => [undo.ranges(), self.ranges()].concat(),
                }
            }

            /// The elements that follow from the record from now on.
            pub fn denies(&self) -> Vec<Element> {
                match self {
                    $(Change::$Name(put) => {
                        put.record.as_ref().map_or_else(Vec::new, $Name::denies)
                    })*
                }
            }

            /// Whether it changes more than claims: chains, rules, ports.
            pub fn is_structural(&self) -> bool {
                match self {
                    $(Change::$Name(put) => $Name::is_structural(&put.key),)*
                }
            }

            /// What the store writes down.
            ///
            /// # Errors
            /// The record cannot be written as JSON.
            pub fn row(&self) -> Result<Row, RowError> {
                match self {
                    $(Change::$Name(put) => Row::of::<$Name>(&put.key, put.record.as_ref()),)*
                }
            }
        }

        $(
            impl From<Plan<$Name>> for Proposal {
                fn from(plan: Plan<$Name>) -> Proposal {
                    let changes = plan.changes.into_iter().map(|step| {
                        let subject = step.subject.unwrap_or_else(|| step.put.key.to_string());
                        let deed = step.deed.map(|deed| (Deed::$Name(deed), subject));
                        (Change::$Name(step.put), deed)
                    });
                    Proposal {
                        feature: $Name::NAME,
                        changes: changes.collect(),
                        occurrences: plan.occurrences,
                        at_once: plan.at_once.into_iter().map(Event::$Name).collect(),
                        events: plan.events.into_iter().map(Event::$Name).collect(),
                        jobs: plan.jobs.into_iter().map(Job::$Name).collect(),
                        later: plan.later.into_iter().map(Job::$Name).collect(),
                        notices: plan.notices.into_iter().map(Notice::$Name).collect(),
                        said: plan.said.into_iter().map(Reply::$Name).collect(),
                        effects: plan.effects,
                    }
                }
            }
        )*

        /// The kernel's sets from which features learn.
        pub fn sets() -> impl Iterator<Item = &'static SetSpec> + Clone {
            [$($Name::SETS),*].into_iter().flatten().copied()
        }

        /// Takes in stored records, feature by feature.
        #[derive(Debug, Default)]
        pub struct Loading {
            state: State,
            $($name: Vec<(<$Name as Feature>::Key, <$Name as Feature>::Record)>,)*
        }

        impl Loading {
            /// Takes one record in.
            ///
            /// # Errors
            /// The record cannot be understood, or no feature keeps it. It must not be left out: a block
            /// that is lost would open, and an account that is lost would lock somebody out.
            pub fn take_row(
                &mut self,
                feature: &str,
                key: &str,
                body: &str,
            ) -> Result<(), RowError> {
                let row = Stored { feature, key, body };
                match feature {
                    $(<$Name as Feature>::NAME => {
                        let (key, record) = row.read::<$Name>()?;
                        let record = self.state.$name.compact(record);
                        self.$name.push((key, record));
                        Ok(())
                    })*
                    _ => Err(row.unknown()),
                }
            }

            /// All that was taken in.
            pub fn finish(self) -> State {
                let Loading { mut state, $($name,)* } = self;
                $(state.$name.load($name);)*
                state
            }
        }
    };
}
