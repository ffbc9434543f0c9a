//! `log`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::ledger::{Account, Block, Entry, Protection};
use nightlatch_core::lists::{CountryRules, Feed, FeedState};
use nightlatch_core::time::{Time, parse_span, show_span};
use nightlatch_parse::country::CountryCode;
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::{Context, Run};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::store::{self, Entry as Written, Store};
use crate::shell::{clock, screen};

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Show every change: when, who, what, before and after
#[derive(clap::Args, Debug)]
pub struct Log {
    /// Wait for new records, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Only records younger than this, such as 24h
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    since: Option<Duration>,
    /// Write CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Check the whole chain for edits and gaps; exit code 1 if there is one
    #[arg(long, conflicts_with_all = ["follow", "since", "csv"])]
    verify: bool,
}

impl Run for Log {
    fn run(&self, context: &Context) -> Outcome {
        let path = context.paths.database();
        if !store::is_there(&path)? {
            return Err(Failure::no(format!(
                "there is no audit log yet: {} does not exist; \"nightlatch up\" begins it",
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
            std::thread::sleep(LOOK_EVERY);
            entries = store::entries_after(&store, last).map_err(Failure::failed)?;
            if since.is_some() && last == 0 {
                entries.retain(|entry| Some(entry.time) >= since);
            }
        }
    }
}

impl Log {
    fn show(&self, entry: &Written, json: bool) {
        if json {
            screen::say_json(entry);
        } else if self.csv {
            screen::say(csv_line(entry));
        } else {
            screen::say(line(entry));
        }
    }
}

fn verify(store: &Store, json: bool) -> Outcome {
    match store::verify(store) {
        Ok(count) if json => {
            screen::say_json(&serde_json::json!({ "whole": true, "records": count }));
        }
        Ok(count) => screen::say(format!("the audit log is whole: {count} records")),
        Err(gap) if json => {
            screen::say_json(&serde_json::json!({ "whole": false, "gap": gap }));
            return Ok(Code::No.exit());
        }
        Err(gap) => return Err(Failure::no(gap)),
    }
    Ok(ExitCode::SUCCESS)
}

fn line(entry: &Written) -> String {
    let record = &entry.record;
    let change = match (&record.before, &record.after) {
        (Value::Null, Value::Null) => String::new(),
        (Value::Null, after) => format!(": {}", in_words(after)),
        (before, Value::Null) => format!(": was {}", in_words(before)),
        (before, after) => format!(": {} -> {}", in_words(before), in_words(after)),
    };
    let subject = match record.subject.as_str() {
        subject if subject == record.action => String::new(),
        subject => format!(" {subject}"),
    };
    let line = format!(
        "{:>5}  {}  {}  {}{subject}{change}",
        entry.number, entry.time, record.caller, record.action
    );
    screen::printable(&line)
}

/// What the log holds, for the screen; whole it is in JSON and CSV.
fn in_words(value: &Value) -> String {
    const LONGEST: usize = 200;
    let until =
        |until: Option<Time>| until.map_or("for ever".to_owned(), |at| format!("until {at}"));
    let text = if let Ok(account) = Account::deserialize(value) {
        let entries: Vec<String> = account.entries.iter().take(5).map(Entry::to_string).collect();
        let more = account.entries.len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let entries = entries.join(", ");
        format!("{entries}{more} for {}, {}", account.services, until(account.until))
    } else if let Ok(block) = Block::deserialize(value) {
        let reason =
            if block.reason.is_empty() { String::new() } else { format!(" ({})", block.reason) };
        format!("{}{reason}", until(block.until))
    } else if let Ok(protection) = Protection::deserialize(value) {
        match protection {
            Protection::Off => "off".to_owned(),
            Protection::Trial { until, .. } => format!("on trial until {until}"),
            Protection::On { since } => format!("on since {since}"),
        }
    } else if let Ok(feed) = Feed::deserialize(value) {
        format!("{} every {}", feed.source, show_span(feed.every))
    } else if let Ok(rules) = CountryRules::deserialize(value)
        && value.get("blocked").is_some()
    {
        rules_in_words(&rules)
    } else if let Ok(state) = FeedState::deserialize(value)
        && value.get("checked").is_some()
    {
        state.result
    } else {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn rules_in_words(rules: &CountryRules) -> String {
    let list = |codes: &BTreeSet<CountryCode>| {
        codes.iter().map(CountryCode::as_str).collect::<Vec<_>>().join(" ")
    };
    match (rules.blocked.is_empty(), rules.only.is_empty()) {
        (true, true) => "everywhere".to_owned(),
        (false, true) => format!("not {}", list(&rules.blocked)),
        (true, false) => format!("only {}", list(&rules.only)),
        (false, false) => format!("only {}, not {}", list(&rules.only), list(&rules.blocked)),
    }
}

fn csv_line(entry: &Written) -> String {
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
