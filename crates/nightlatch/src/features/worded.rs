//! What a feature of the core has in the program: words, and background work.

use nightlatch_core::audit::Record;
use nightlatch_core::features::Feature;
use serde_json::Value;

use super::about::About;
use super::listing::Listing;
use super::places::LookUp;
use super::report::Report;
use crate::shell::background::Background;
use crate::shell::kept::Kept;
use crate::shell::paths::Paths;

/// What a feature says in words. In the `wording.rs` of its folder.
pub trait Worded: Feature {
    /// A reply in lines for the screen; `None` for what is shown in another way, by its command.
    /// `changed` tells whether anything has changed.
    fn say(reply: &Self::Reply, changed: bool) -> Option<String>;

    /// What comes after all that is said.
    fn hint(_reply: &Self::Reply) -> Option<String> {
        None
    }

    /// Why it refuses.
    fn refuse(refusal: &Self::Refusal) -> String;

    /// What an administrator must hear.
    fn notice(notice: &Self::Notice) -> String;

    /// Adds to `status` what it reports.
    fn report(_reply: &Self::Reply, _report: &mut Report) {}

    /// What `list` asks of it.
    fn list() -> Option<Self::Request> {
        None
    }

    /// Adds to `list` what it answers to that.
    fn listed(_reply: &Self::Reply, _listing: &mut Listing) {}

    /// Adds to `why` what it says of an address.
    fn about(_reply: &Self::Reply, _about: &mut About) {}

    /// What the audit log says of a value, before or after a change; `None` if the value is not one of
    /// this feature. Records name no feature, and older versions wrote other values. The first feature
    /// that understands a value is asked, so what could be taken for another's is told by the action.
    fn audited(_record: &Record, _value: &Value) -> Option<String> {
        None
    }
}

/// What a feature does on this machine.
pub(crate) trait Works: Feature {
    /// Completes the configuration where the default depends on what is installed here.
    fn find_defaults(_config: &mut Self::Config) {}

    /// Adds to a request what the engine does not have, e.g. random bytes.
    fn complete(_request: &mut Self::Request) {}

    /// Adds to `who` what files of this machine say of an address. In the process of the command.
    fn looked_up(_paths: &Paths, _about: &mut About) {}

    /// What files of this machine say of where addresses are, read once for many. In the process of the
    /// command.
    fn places(_paths: &Paths) -> Option<LookUp> {
        None
    }

    /// What was kept on disk of the lists that are in force.
    fn kept(&self, _kept: &Kept) -> Vec<Self::Event> {
        Vec::new()
    }

    /// How far the background work is.
    fn progress(_background: &Background) -> Option<Self::Event> {
        None
    }

    /// Begins something. What comes of it goes to the loop, in any case: until then the work is not
    /// begun again. Where there is no [`Feature::Job`], it is `match job {}`.
    fn run(job: Self::Job, background: &Background);
}
