//! `watch`, `watch list`, `watch test`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::detect::Settings;
use nightlatch_core::features::Reply;
use nightlatch_core::features::watch::{self, Request, Standing};
use nightlatch_core::time::parse_span;
use nightlatch_parse::log::Format;
use serde::Serialize;

use super::intake::How;
use super::replay::{Replay, Would};
use super::view::View;
use super::{io, sparing, wording};
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::screen;

/// Show attempts to log in as they come, until Ctrl-C; list what is read; try a log out
#[derive(clap::Args, Debug)]
pub struct WatchCommand {
    #[command(subcommand)]
    command: Option<Watch>,
}

#[derive(clap::Subcommand, Debug)]
enum Watch {
    /// List what is read, how far it is trusted, and what leaves no line
    List,
    /// Read a log once: who would have been banned, when and why. Nothing is changed
    Test(Test),
}

#[derive(clap::Args, Debug)]
struct Test {
    /// The log, or - for standard input
    file: String,
    /// Its format, or a filter of fail2ban, e.g. asterisk or "sshd[mode=aggressive]"; default: detected
    #[arg(long = "as", value_name = "FORMAT")]
    format: Option<String>,
    /// One pattern with <ADDRESS> in place of the address
    #[arg(long, value_name = "TEXT", conflicts_with = "format")]
    pattern: Option<String>,
    /// Only lines younger than this, such as 24h
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    since: Option<Duration>,
    /// How many failures within --quick-within are an attack; default: the configuration
    #[arg(long, value_name = "COUNT")]
    quick_attempts: Option<u32>,
    /// See --quick-attempts
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    quick_within: Option<Duration>,
    /// How many failures within --slow-within are an attack; default: the configuration
    #[arg(long, value_name = "COUNT")]
    slow_attempts: Option<u32>,
    /// See --slow-attempts
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    slow_within: Option<Duration>,
}

impl Run for WatchCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.command {
            None => follow(context),
            Some(Watch::List) => list(context),
            Some(Watch::Test(test)) => test.run(context),
        }
    }
}

fn follow(context: &Context) -> Outcome {
    let mut view = View::default();
    let viewing = io::viewing::Viewing::begin(&context.paths)?;
    if !context.json {
        screen::say(super::view::HEADER);
    }
    viewing.follow(|seen| {
        if context.json {
            screen::say_json(seen);
            return;
        }
        let who = view.who(seen, |address| sparing::who(context, address));
        view.lines(seen, &who).iter().for_each(screen::say);
    })?;
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> Outcome {
    let replies = context.ask(vec![Request::List.into()])?;
    let standing = replies.into_iter().find_map(|reply| match reply {
        Reply::Watch(watch::Reply::All(standing)) => Some(standing),
        _ => None,
    });
    let Standing { sources, blind } = standing.unwrap_or_default();
    if context.json {
        screen::say_json(&serde_json::json!({ "sources": sources, "blind": blind }));
        return Ok(ExitCode::SUCCESS);
    }
    if sources.is_empty() {
        screen::say(
            "No log is read: none is known here. A table [[watch]] in the configuration names one.",
        );
    } else {
        let rows: Vec<Vec<String>> = sources.iter().map(wording::row).collect();
        screen::table(
            &["LOG", "FORMAT", "TRUST", "LINES", "ATTEMPTS", "LAST LINE", "STATE"],
            &rows,
        );
    }
    wording::blind(&blind).iter().for_each(screen::say);
    Ok(ExitCode::SUCCESS)
}

impl Test {
    fn run(&self, context: &Context) -> Outcome {
        let settings = self.settings(context)?;
        let mut replay = io::replay::read(&self.file, self.how()?, settings, self.since)?;
        sparing::ask(context, &mut replay.told.sources)?;
        if context.json {
            screen::say_json(&Shown::of(&replay));
        } else {
            wording::replayed(&self.file, &replay).iter().for_each(screen::say);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Those of the configuration, but for what the options say.
    fn settings(&self, context: &Context) -> Result<Settings, Failure> {
        let config = crate::shell::configuration::read(&context.paths.config)?;
        let mut settings = *config.watch.attempts;
        if let Some(count) = self.quick_attempts {
            settings.quick_attempts = count;
        }
        if let Some(span) = self.quick_within {
            settings.quick_within = span;
        }
        if let Some(count) = self.slow_attempts {
            settings.slow_attempts = count;
        }
        if let Some(span) = self.slow_within {
            settings.slow_within = span;
        }
        Ok(settings.bounded())
    }

    fn how(&self) -> Result<How, Failure> {
        let wrong = |error: String| Failure::new(Code::Usage, error);
        if let Some(pattern) = &self.pattern {
            let pattern = pattern.parse();
            let pattern = pattern
                .map_err(|error: nightlatch_parse::log::PatternError| wrong(error.to_string()))?;
            return Ok(How::Patterns(vec![pattern]));
        }
        let Some(name) = &self.format else { return Ok(How::Undetected) };
        let is_filter = name.contains(['/', '[']);
        match name.parse::<Format>() {
            Ok(format) => Ok(How::Formats(vec![format])),
            Err(error) if !is_filter => {
                let known = Format::all().iter().map(|format| format.name());
                let meant = nightlatch_core::near::nearest(name, known);
                let meant = meant.map(|it| format!("; did you mean \"{it}\"?")).unwrap_or_default();
                io::replay::filter(name)
                    .map(|filter| How::Filter(name.clone(), Box::new(filter)))
                    .map_err(|_| wrong(format!("{error}{meant}")))
            }
            Err(_) => io::replay::filter(name)
                .map(|filter| How::Filter(name.clone(), Box::new(filter)))
                .map_err(wrong),
        }
    }
}

/// A replayed log, in JSON.
#[derive(Serialize)]
struct Shown<'a> {
    format: Option<String>,
    lines: u64,
    attempts: u64,
    doubtful: u64,
    too_long: u64,
    first: Option<nightlatch_core::time::Time>,
    last: Option<nightlatch_core::time::Time>,
    banned: Vec<ShownSource<'a>>,
    spared: Vec<ShownSource<'a>>,
    more_sources: u64,
    notices: &'a [nightlatch_core::detect::Notice],
}

#[derive(Serialize)]
struct ShownSource<'a> {
    source: String,
    weight: nightlatch_core::attack::Weight,
    trusted_since: Option<nightlatch_core::time::Time>,
    evidence: &'a nightlatch_core::attack::Evidence,
    #[serde(flatten)]
    would: &'a Would,
}

impl<'a> Shown<'a> {
    fn of(replay: &'a Replay) -> Shown<'a> {
        let counts = &replay.lines.counts;
        let one = |would: &'a Would| ShownSource {
            source: would.attack.source.to_string(),
            weight: would.attack.weight,
            trusted_since: would.attack.trusted_since,
            evidence: &would.attack.evidence,
            would,
        };
        let told = &replay.told;
        Shown {
            format: replay.lines.how.name(),
            lines: counts.lines,
            attempts: counts.attempts,
            doubtful: counts.doubtful,
            too_long: counts.too_long,
            first: told.first,
            last: told.last,
            banned: told.sources.iter().filter(|it| it.spared.is_none()).map(one).collect(),
            spared: told.sources.iter().filter(|it| it.spared.is_some()).map(one).collect(),
            more_sources: told.more,
            notices: &told.notices,
        }
    }
}
