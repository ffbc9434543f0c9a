//! `watch`, `watch list`, `watch summary`, `watch test`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::detect::{Settings, Span, Thresholds};
use nightlatch_core::features::Reply;
use nightlatch_core::features::watch::{self, Config, Request, Standing};
use nightlatch_core::time::parse_span;
use nightlatch_parse::log::{Format, PatternError};
use serde::Serialize;

use super::intake::{ByFilter, How, LineReader};
use super::replay::{Replay, Would};
use super::seen::Seen;
use super::view::View;
use super::{io, picture, sparing, wording};
use crate::features;
use crate::features::context::{Context, Run};
use crate::features::places::{Place, Places};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{clock, screen};

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
    /// Sum up the last day or week: attempts and bans, sources, accounts, services
    Summary(Sum),
    /// Read a log once: who would have been banned, when and why. Nothing is changed
    Test(Test),
}

#[derive(clap::Args, Debug)]
struct Sum {
    /// The last 24 hours, or the last seven days
    #[arg(value_enum, default_value = "day", hide_possible_values = true, value_name = "day|week")]
    of: Of,
    /// Write it as a picture to a file; without one, to standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    svg: Option<String>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Of {
    Day,
    Week,
}

#[derive(clap::Args, Debug)]
struct Test {
    /// The log, or - for standard input
    file: String,
    /// Its format, or a filter of fail2ban, e.g. asterisk or "sshd[mode=aggressive]"; default: as a table
    /// [[watch]] says, or detected
    #[arg(long = "as", value_name = "FORMAT")]
    format: Option<String>,
    /// One pattern with <ADDRESS> in place of the address
    #[arg(long, value_name = "TEXT", conflicts_with = "format")]
    pattern: Option<String>,
    /// Only lines younger than this, such as 24h
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    since: Option<Duration>,
    #[command(flatten)]
    general: General,
    #[command(flatten)]
    own: Own,
}

/// What counts as an attack in a log that is read by a format or a pattern.
#[derive(clap::Args, Debug)]
struct General {
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

/// The same in one that is read by a filter.
#[derive(clap::Args, Debug)]
struct Own {
    /// By a filter: how many failures within --findtime are an attack; default: its table [[watch]], or 5
    #[arg(long, value_name = "COUNT")]
    maxretry: Option<u32>,
    /// See --maxretry; default: its table [[watch]], or 10m
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    findtime: Option<Duration>,
    /// By a filter: for how long a source is banned; default: its table [[watch]], or 10m
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    bantime: Option<Duration>,
}

impl Run for WatchCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.command {
            None => follow(context),
            Some(Watch::List) => list(context),
            Some(Watch::Summary(sum)) => sum.run(context),
            Some(Watch::Test(test)) => test.run(context),
        }
    }
}

fn follow(context: &Context) -> Outcome {
    let (mut view, places) = (View::default(), features::places(&context.paths));
    let viewing = io::viewing::Viewing::begin(&context.paths)?;
    if !context.json {
        screen::say(super::view::HEADER);
    }
    viewing.follow(|seen| {
        let place = places.at(seen.source);
        if context.json {
            screen::say_json(&ShownSeen { seen, place: &place });
            return;
        }
        let who = view.who(seen, |address| sparing::who(context, address));
        view.lines(seen, &place, &who).iter().for_each(screen::say);
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An attempt in JSON.
#[derive(Serialize)]
struct ShownSeen<'a> {
    #[serde(flatten)]
    seen: &'a Seen,
    #[serde(flatten)]
    place: &'a Place,
}

fn list(context: &Context) -> Outcome {
    let replies = context.ask(vec![Request::List.into()])?;
    let standing = replies.into_iter().find_map(|reply| match reply {
        Reply::Watch(watch::Reply::All(standing)) => Some(standing),
        _ => None,
    });
    let Standing { sources, blind, .. } = standing.unwrap_or_default();
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

impl Sum {
    fn run(&self, context: &Context) -> Outcome {
        let span = match self.of {
            Of::Day => Span::Day,
            Of::Week => Span::Week,
        };
        let summary = io::summed::read(&context.paths, span, clock::now())?;
        let places = match summary.sources.is_empty() {
            true => Places::of(Vec::new()),
            false => features::places(&context.paths),
        };
        match self.svg.as_deref() {
            Some("-") if context.json => {
                let error = "the picture and the JSON cannot both go to standard output: name a file with --svg=FILE";
                return Err(Failure::new(Code::Usage, error));
            }
            Some("-") => screen::say(picture::svg(&summary, &places).trim_end()),
            Some(file) => io::summed::write(file, &picture::svg(&summary, &places))?,
            None if !context.json => {
                wording::summary::text(&summary, &places).iter().for_each(screen::say);
            }
            None => {}
        }
        if context.json {
            screen::say_json(&wording::summary::json(&summary, &places));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Test {
    fn run(&self, context: &Context) -> Outcome {
        let config = crate::shell::configuration::read(&context.paths.config)?.watch;
        let mut lines = self.lines(&config)?;
        let settings = self.general.over(*config.attempts);
        self.fit(&mut lines.how)?;
        let mut replay = io::replay::read(lines, settings, self.since)?;
        sparing::ask(context, &mut replay.told.sources)?;
        if context.json {
            screen::say_json(&Shown::of(&replay));
        } else {
            wording::replayed(&self.file, &replay).iter().for_each(screen::say);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What reads the log.
    fn lines(&self, config: &Config) -> Result<LineReader, Failure> {
        if let Some(pattern) = &self.pattern {
            let pattern = pattern.parse();
            let pattern = pattern.map_err(|error: PatternError| wrong(error.to_string()))?;
            return Ok(self.reader(How::Patterns(vec![pattern])));
        }
        let Some(name) = &self.format else {
            let configured = io::replay::configured(&self.file, config).map_err(wrong)?;
            return Ok(configured.unwrap_or_else(|| self.reader(How::Undetected)));
        };
        let unknown = match name.parse::<Format>() {
            Ok(format) => return Ok(self.reader(How::Formats(vec![format]))),
            Err(error) => error,
        };
        let filter = match io::replay::filter(name) {
            Ok(filter) => filter,
            Err(error) if name.contains(['/', '[']) => return Err(wrong(error)),
            Err(_) => {
                let known = Format::all().iter().map(|format| format.name());
                let meant = nightlatch_core::near::nearest(name, known);
                let meant = meant.map(|it| format!("; did you mean \"{it}\"?")).unwrap_or_default();
                return Err(wrong(format!("{unknown}{meant}")));
            }
        };
        let thresholds = config.thresholds_of(name).unwrap_or_default();
        let by = ByFilter { name: name.clone(), filter, thresholds };
        let mut lines = self.reader(How::Filter(Box::new(by)));
        lines.instead_of = watch::native(name).map(|format| format.name().to_owned());
        Ok(lines)
    }

    fn reader(&self, how: How) -> LineReader {
        LineReader::new(self.file.clone(), how, None)
    }

    /// Lets the options for thresholds take effect; those of the other kind would have none.
    fn fit(&self, how: &mut How) -> Result<(), Failure> {
        match how {
            How::Filter(_) if self.general.is_given() => Err(wrong(
                "--quick-attempts and the like do not apply to a filter: use --maxretry, --findtime and --bantime".to_owned(),
            )),
            How::Filter(by) => {
                by.thresholds = self.own.over(by.thresholds)?;
                Ok(())
            }
            _ if self.own.is_given() => Err(wrong(
                "--maxretry, --findtime and --bantime are for a filter of fail2ban (--as NAME): use --quick-attempts and the like".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

fn wrong(error: String) -> Failure {
    Failure::new(Code::Usage, error)
}

impl General {
    fn is_given(&self) -> bool {
        let General { quick_attempts, quick_within, slow_attempts, slow_within } = self;
        quick_attempts.or(*slow_attempts).is_some() || quick_within.or(*slow_within).is_some()
    }

    /// Those of the configuration, but for what the options say.
    fn over(&self, configured: Settings) -> Settings {
        let General { quick_attempts, quick_within, slow_attempts, slow_within } = *self;
        let settings = Settings {
            quick_attempts: quick_attempts.unwrap_or(configured.quick_attempts),
            quick_within: quick_within.unwrap_or(configured.quick_within),
            slow_attempts: slow_attempts.unwrap_or(configured.slow_attempts),
            slow_within: slow_within.unwrap_or(configured.slow_within),
            ..configured
        };
        settings.bounded()
    }
}

impl Own {
    fn is_given(&self) -> bool {
        self.maxretry.is_some() || self.findtime.or(self.bantime).is_some()
    }

    /// Those of the configuration, but for what the options say.
    fn over(&self, configured: Thresholds) -> Result<Thresholds, Failure> {
        let Own { maxretry, findtime, bantime } = *self;
        let thresholds = Thresholds {
            maxretry: maxretry.unwrap_or(configured.maxretry),
            findtime: findtime.unwrap_or(configured.findtime),
            bantime: bantime.unwrap_or(configured.bantime),
        };
        let is_sound = Thresholds::MAXRETRY.contains(&thresholds.maxretry)
            && Thresholds::FINDTIME.contains(&thresholds.findtime)
            && Thresholds::BANTIME.contains(&thresholds.bantime);
        let what = "--maxretry is 1 to 100, --findtime 1s to 7d, --bantime 10s to 1d";
        is_sound.then_some(thresholds).ok_or_else(|| wrong(what.to_owned()))
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
    /// What counted as an attack, where a filter read the log.
    thresholds: Option<Thresholds>,
    /// The same where none did.
    settings: Option<&'a Settings>,
    notices: &'a [nightlatch_core::detect::Notice],
}

#[derive(Serialize)]
struct ShownSource<'a> {
    source: String,
    weight: nightlatch_core::attack::Weight,
    trusted_since: Option<nightlatch_core::time::Time>,
    /// In seconds, where a filter read the log.
    bantime: Option<u64>,
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
            bantime: would.attack.bantime.map(|it| it.as_secs()),
            evidence: &would.attack.evidence,
            would,
        };
        let told = &replay.told;
        let thresholds = replay.lines.how.thresholds();
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
            thresholds,
            settings: thresholds.is_none().then_some(&replay.settings),
            notices: &told.notices,
        }
    }
}
