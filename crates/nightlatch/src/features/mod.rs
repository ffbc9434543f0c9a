//! One folder per feature, registered by one line below: what it says in words, and what it does on this
//! machine. The commands are registered in `commands.rs`.

use nightlatch_core::audit::Record;
use nightlatch_core::config::Config;
use nightlatch_core::features::{Event, Job, Notice, Refusal, Reply, Request, State};
use serde_json::Value;

use crate::shell::background::Background;
use crate::shell::kept::Kept;
use crate::shell::paths::Paths;

pub mod about;
pub mod accounts;
pub mod attempts;
pub mod audit;
pub mod bans;
pub mod blocks;
pub mod boot;
pub mod check;
pub mod commands;
pub mod context;
pub mod countries;
pub mod demo;
pub mod denials;
pub mod exemptions;
pub mod feeds;
pub mod fields;
pub mod firewall;
pub mod generate;
pub mod leases;
pub mod listing;
pub mod names;
pub mod notices;
pub mod oldnames;
pub mod open;
pub mod peers;
pub mod places;
pub mod providers;
pub mod report;
pub mod status;
pub mod up;
pub mod users;
pub mod watch;
pub mod who;
pub mod why;
pub mod worded;

#[cfg(test)]
mod tests;

use about::About;
use listing::Listing;
use places::Places;
use report::Report;
use worded::{Worded, Works};

macro_rules! features {
    ($($name:ident: $Name:ident,)*) => {
        $(use nightlatch_core::features::$name::$Name;)*

        /// What each feature says of itself: source of a manual page's text.
        const WRITTEN: &[(&str, &str)] = &[$((
            stringify!($name),
            include_str!(concat!(stringify!($name), "/mod.rs")),
        ),)*];

        // The compiler names the trait that a feature lacks.
        const _: () = {
            const fn has_both<F: Worded + Works>() {}
            $(has_both::<$Name>();)*
        };

        /// A reply in lines for the screen; `None` for what is shown in another way, by its command.
        /// `changed` tells whether anything has changed.
        pub fn say(reply: &Reply, changed: bool) -> Option<String> {
            match reply {
                $(Reply::$Name(reply) => $Name::say(reply, changed),)*
            }
        }

        /// What comes after all that is said.
        pub fn hint(reply: &Reply) -> Option<String> {
            match reply {
                $(Reply::$Name(reply) => $Name::hint(reply),)*
            }
        }

        /// Why a feature refuses.
        pub fn refuse(refusal: &Refusal) -> String {
            match refusal {
                $(Refusal::$Name(refusal) => $Name::refuse(refusal),)*
            }
        }

        /// What an administrator must hear of a feature.
        pub fn notice(notice: &Notice) -> String {
            match notice {
                $(Notice::$Name(notice) => $Name::notice(notice),)*
            }
        }

        /// Adds to `status` what a feature reports.
        pub fn report(reply: &Reply, report: &mut Report) {
            match reply {
                $(Reply::$Name(reply) => $Name::report(reply, report),)*
            }
        }

        /// What `list` asks.
        pub fn list() -> Vec<Request> {
            [$($Name::list().map(Request::from),)*].into_iter().flatten().collect()
        }

        /// Adds to `list` what a feature answers to that.
        pub fn listed(reply: &Reply, listing: &mut Listing) {
            match reply {
                $(Reply::$Name(reply) => $Name::listed(reply, listing),)*
            }
        }

        /// Adds to `why` what a feature says of an address.
        pub fn about(reply: &Reply, about: &mut About) {
            match reply {
                $(Reply::$Name(reply) => $Name::about(reply, about),)*
            }
        }

        /// What the audit log says of a value of a record, if a feature understands it.
        pub fn audited(record: &Record, value: &Value) -> Option<String> {
            None$(.or_else(|| $Name::audited(record, value)))*
        }

        /// Adds to `who` what files of this machine say of an address.
        pub(crate) fn looked_up(paths: &Paths, about: &mut About) {
            $($Name::looked_up(paths, about);)*
        }

        /// What files of this machine say of where addresses are.
        pub(crate) fn places(paths: &Paths) -> Places {
            Places::of([$($Name::places(paths),)*].into_iter().flatten().collect())
        }

        /// Completes the configuration where the defaults depend on what is installed here.
        pub(crate) fn find_defaults(config: &mut Config) {
            $($Name::find_defaults(&mut config.$name);)*
        }

        /// Adds to a request what the engine does not have, e.g. random bytes.
        pub(crate) fn complete(request: &mut Request) {
            match request {
                $(Request::$Name(request) => $Name::complete(request),)*
            }
        }

        /// What was kept on disk of the lists that are in force.
        pub(crate) fn kept(state: &State, kept: &Kept) -> Vec<Event> {
            let mut events = Vec::new();
            $(events.extend(state.$name.kept(kept).into_iter().map(Event::from));)*
            events
        }

        /// How far the background work is.
        pub(crate) fn progress(background: &Background) -> Vec<Event> {
            [$($Name::progress(background).map(Event::from),)*].into_iter().flatten().collect()
        }

        /// Begins background work.
        pub(crate) fn run(job: Job, background: &Background) {
            match job {
                $(Job::$Name(job) => $Name::run(job, background),)*
            }
        }
    };
}

// "Pattern not covered: `Reply::Quotas(_)`" means that a feature of the core has no line here.
features! {
    firewall: Firewall,
    blocks: Blocks,
    denials: Denials,
    accounts: Accounts,
    peers: Peers,
    feeds: Feeds,
    countries: Countries,
    notices: Notices,
    leases: Leases,
    exemptions: Exemptions,
    users: Users,
    providers: Providers,
    names: Names,
    bans: Bans,
    watch: Watch,
}
