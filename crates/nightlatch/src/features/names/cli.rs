//! `names`.

use std::process::ExitCode;

use nightlatch_core::features::Reply;
use nightlatch_core::features::names::{self, Name, Request};
use serde::Serialize;

use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::outcome::Outcome;
use crate::shell::screen;

/// List the host names in use, with their addresses
#[derive(clap::Args, Debug)]
pub struct ListNames {}

impl Run for ListNames {
    fn run(&self, context: &Context) -> Outcome {
        let replies = context.ask(vec![Request::List.into()])?;
        let all = replies.into_iter().find_map(|reply| match reply {
            Reply::Names(names::Reply::All(all)) => Some(all),
            _ => None,
        });
        let all = all.unwrap_or_default();
        if context.json {
            screen::say_json(&Listed { names: &all });
        } else if all.is_empty() {
            screen::say("No host names. \"nightlatch allow NAME HOST\" uses one.");
        } else {
            let rows: Vec<Vec<String>> = all.iter().map(wording::row).collect();
            screen::table(&["HOST", "ADDRESSES", "CHANGED", "OF", "TROUBLE"], &rows);
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    names: &'a [Name],
}
