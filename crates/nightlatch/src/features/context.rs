//! What every command gets, and how it answers.

use std::process::ExitCode;

use nightlatch_core::AddrRange;
use nightlatch_core::api::{self, Ask, Cause, Done, RefusalKind};
use nightlatch_core::features::{Reply, Request};
use serde::Serialize;
use serde_json::Value;

use crate::shell::outcome::{Failure, Outcome};
use crate::shell::paths::Paths;
use crate::shell::{client, pbx_peers, screen};
use crate::wording;

/// What every command gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where configuration, state and sockets are.
    pub paths: Paths,
    /// Whether to write JSON.
    pub json: bool,
}

impl Context {
    /// Asks features something, and returns what they answer.
    pub(crate) fn ask(&self, requests: Vec<Request>) -> Result<Vec<Reply>, Failure> {
        let ask = Ask { requests, ..Ask::default() };
        Ok(client::change(&self.paths, api::Request::Do(ask))?.said)
    }

    /// Asks the daemon for a change and shows what it answers.
    pub(crate) fn change(&self, request: api::Request) -> Outcome {
        self.say_done(&client::change(&self.paths, request)?);
        Ok(ExitCode::SUCCESS)
    }

    /// Asks the daemon for a change that closes addresses, and shows its reply and what is left to do
    /// at the PBX: a call there continues, and costs money, until somebody ends it.
    pub(crate) fn close(
        &self,
        request: api::Request,
        ranges: &[AddrRange],
        trunks: bool,
    ) -> Outcome {
        let done = client::change(&self.paths, request)?;
        let remaining = pbx_peers::remaining(ranges, trunks);
        if self.json {
            let at_the_pbx = (!remaining.is_empty()).then(|| serde_json::json!(remaining));
            screen::say_json(&Shown { at_the_pbx, done: ShownDone::of(&done) });
        } else {
            screen::say(wording::done(&done));
            remaining.lines().iter().for_each(screen::say);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows as JSON what the daemon refused, and why. In words it stands on standard error.
    pub(crate) fn say_refused(failure: &Failure) {
        if let Some(refusal) = &failure.refusal {
            let api::Refusal { kind, why } = &**refusal;
            let refused = ShownRefusal { message: &failure.message, kind: *kind, why };
            screen::say_json(&Refused { refused });
        }
    }

    /// Shows what was done.
    pub(crate) fn say_done(&self, done: &Done) {
        if self.json {
            screen::say_json(&Shown { at_the_pbx: None, done: ShownDone::of(done) });
        } else {
            screen::say(wording::done(done));
        }
    }
}

/// What was refused, in words and as data.
#[derive(Serialize)]
struct Refused<'a> {
    refused: ShownRefusal<'a>,
}

#[derive(Serialize)]
struct ShownRefusal<'a> {
    message: &'a str,
    kind: RefusalKind,
    why: &'a Cause,
}

/// What was done, in words and as data.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    at_the_pbx: Option<Value>,
    done: ShownDone<'a>,
}

#[derive(Serialize)]
pub(crate) struct ShownDone<'a> {
    message: String,
    said: &'a [Reply],
}

impl ShownDone<'_> {
    pub(crate) fn of(done: &Done) -> ShownDone<'_> {
        ShownDone { message: wording::done(done), said: &done.said }
    }
}

/// A command of a feature.
pub trait Run {
    /// Does what the command says.
    ///
    /// # Errors
    /// What happened, to what, and what to do next, with the exit code.
    fn run(&self, context: &Context) -> Outcome;
}
