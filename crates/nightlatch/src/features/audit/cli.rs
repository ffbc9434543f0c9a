//! `log`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::time::{Time, parse_span};

use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::store::{self, Entry, Store};
use crate::shell::{clock, screen};

/// How often `--follow` looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Show every change: when, who, what, before and after
#[derive(clap::Args, Debug)]
pub struct Log {
    /// Wait for new records, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Only records younger than this, e.g. 24h
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    since: Option<Duration>,
    /// Write CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Verify the whole hash chain; exit code 1 if a record was edited or is missing
    #[arg(long, conflicts_with_all = ["follow", "since", "csv"])]
    verify: bool,
}

impl Run for Log {
    fn run(&self, context: &Context) -> Outcome {
        let path = context.paths.database();
        if !store::is_there(&path)? {
            return Err(Failure::no(format!(
                "there is no audit log yet: {} does not exist; \"nightlatch up\" creates it",
                path.display()
            )));
        }
        let store = Store::open_to_read(&path)?;
        if self.verify {
            return verify(&store, context.json);
        }
        if self.csv {
            screen::say("number,time,user,uid,origin,action,subject,before,after,hash");
        }
        let since = self.since.map(|span| {
            Time::from_millis(0)
                .after(clock::now().since(Time::from_millis(0)).saturating_sub(span))
        });
        let mut last = 0;
        let mut entries = store::entries(&store, since).map_err(Failure::failed)?;
        loop {
            for entry in &entries {
                self.show(entry, context.json);
                last = entry.number;
            }
            // Who listened to `--follow` may have had enough (`| head`).
            if !self.follow || screen::nobody_listens() {
                return Ok(ExitCode::SUCCESS);
            }
            std::thread::sleep(LOOK_INTERVAL);
            entries = store::entries_after(&store, last).map_err(Failure::failed)?;
            if since.is_some() && last == 0 {
                entries.retain(|entry| Some(entry.time) >= since);
            }
        }
    }
}

impl Log {
    fn show(&self, entry: &Entry, json: bool) {
        if json {
            screen::say_json(entry);
        } else if self.csv {
            screen::say(csv_line(entry));
        } else {
            screen::say(wording::line(entry));
        }
    }
}

fn verify(store: &Store, json: bool) -> Outcome {
    match store::verify(store) {
        Ok(count) if json => {
            screen::say_json(&serde_json::json!({ "whole": true, "records": count }));
        }
        Ok(count) => screen::say(format!("the audit log is intact: {count} records")),
        Err(gap) if json => {
            screen::say_json(&serde_json::json!({ "whole": false, "gap": gap }));
            return Ok(Code::No.exit());
        }
        Err(gap) => return Err(Failure::no(gap)),
    }
    Ok(ExitCode::SUCCESS)
}

fn csv_line(entry: &Entry) -> String {
    let record = &entry.record;
    let origin = record.caller.origin.map(|origin| origin.to_string()).unwrap_or_default();
    let fields = [
        entry.number.to_string(),
        entry.time.to_string(),
        record.caller.user.clone(),
        record.caller.uid.to_string(),
        origin,
        record.action.clone(),
        record.subject.clone(),
        record.before.to_string(),
        record.after.to_string(),
        entry.hash.clone(),
    ];
    fields.map(|field| csv_field(&field)).join(",")
}

/// A field as RFC 4180 has it. A spreadsheet would run a field that begins like a formula: such a
/// field gets an apostrophe before it.
fn csv_field(field: &str) -> String {
    let field = screen::printable(field);
    let formula = field.starts_with(['=', '+', '-', '@']);
    let field = if formula { format!("'{field}") } else { field };
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}
