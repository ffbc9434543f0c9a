//! What `status` says, as the features add to it.

use nightlatch_core::api::Status;
use nightlatch_core::time::Time;
use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;

/// What `status` says: fields of its JSON, and lines of the screen. Both stand in the order of their
/// numbers; lines of one number in the order in which they were added. The numbers of fields, lines and
/// counts are three series; `grep -rn "report\." */wording.rs` shows those in use.
#[derive(Debug, Default)]
pub struct Report {
    pub(crate) now: Time,
    pub(crate) stands: bool,
    pub(crate) fields: Fields,
    pub(crate) lines: Vec<(u8, String)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) counts: Vec<(u8, &'static str, usize)>,
    pub(crate) lists: Vec<(usize, &'static str)>,
    pub(crate) troubles: Vec<String>,
    pub(crate) ending: Vec<Ending>,
    /// The attack that is underway, in a few words.
    pub(crate) attack: Option<String>,
    /// How many sources are banned.
    pub(crate) banned: usize,
    /// When the PBX last answered.
    pub(crate) pbx_answered: Option<Time>,
    /// Which phones are denied because they are registered without an account: for the JSON, and in a
    /// sentence.
    pub(crate) unlisted: Vec<(Value, String)>,
}

/// Something that ends by itself.
#[derive(Debug, Serialize)]
pub(crate) struct Ending {
    pub(crate) what: String,
    pub(crate) until: Time,
}

impl Report {
    /// What the features say of how things stand.
    pub(crate) fn of(status: &Status, now: Time) -> Report {
        let mut report = Report { now, ..Report::default() };
        status.reports.iter().for_each(|reply| super::report(reply, &mut report));
        report
    }

    /// The moment.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Says whether the firewall stands.
    pub fn set_stands(&mut self, stands: bool) {
        self.stands = stands;
    }

    /// Adds a field to the JSON.
    pub fn field(&mut self, number: u8, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.fields.set(number, name, value);
    }

    /// Adds a line to the screen: ten characters for its name, then what it says.
    pub fn line(&mut self, number: u8, line: String) {
        self.lines.push((number, line));
    }

    /// Adds something that is not as it should be, with what to do.
    pub fn warning(&mut self, warning: impl ToString) {
        self.warnings.push(warning.to_string());
    }

    /// Adds how many records of a kind there are: a field, and a part of one line for all of them.
    pub fn count(&mut self, number: u8, name: &'static str, count: usize) {
        self.field(number, name, &count);
        self.counts.push((number, name, count));
    }

    /// Adds how many lists of a kind there are, and what one and several are called: a field, and a part
    /// of one line for all lists.
    pub fn lists(
        &mut self,
        number: u8,
        name: &'static str,
        count: usize,
        (one, several): (&'static str, &'static str),
    ) {
        self.field(number, name, &count);
        self.lists.push((count, if count == 1 { one } else { several }));
    }

    /// Adds a list that is in trouble.
    pub fn trouble(&mut self, trouble: String) {
        self.troubles.push(trouble);
    }

    /// Says when the PBX last answered, if it ever did.
    pub fn set_pbx_answered(&mut self, number: u8, name: &'static str, answered: Option<Time>) {
        self.pbx_answered = answered;
        if let Some(answered) = answered {
            self.field(number, name, &answered);
        }
    }

    /// Adds a phone that is denied because it is registered without an account.
    pub fn unlisted(&mut self, value: Value, sentence: String) {
        self.unlisted.push((value, sentence));
    }

    /// Adds something that ends soon.
    pub fn ending(&mut self, what: String, until: Time) {
        self.ending.push(Ending { what, until });
    }
}
