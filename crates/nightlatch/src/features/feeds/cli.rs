//! `feed add`, `feed remove`, `feed list`, `feed refresh`, `feed catalogue`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api;
use nightlatch_core::features::Reply;
use nightlatch_core::features::feeds::{self, Feed, FeedName, FeedView, Request};
use nightlatch_core::time::{Time, parse_span};

use super::{catalogue, io, json, show};
use crate::features::context::{Context, Run};
use crate::shell::clock::Stopwatch;
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{client, screen};
use crate::wording;

/// How often to look where nothing is said.
const INTERVAL: Duration = Duration::from_secs(6 * 3600);
/// How often to look at a file here: it costs next to nothing, and whoever edits it waits for it.
const EVERY_FILE: Duration = Duration::from_secs(5 * 60);
/// How often to ask the daemon how it goes.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Manage blocklist feeds, which apply to strangers in mode open
#[derive(clap::Args, Debug)]
pub struct FeedCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Add a feed by URL or file, or by name from the catalogue
    Add(Box<Add>),
    /// Remove a feed
    Remove {
        /// Its name
        name: FeedName,
    },
    /// List all feeds with entries, age, packets dropped and notes
    List,
    /// Show one feed: source, format and schedule
    Show {
        /// Its name
        name: FeedName,
    },
    /// Fetch now
    Refresh {
        /// Which feeds; default: all
        name: Option<FeedName>,
        /// Accept the content whatever its size, and fetch it even if unchanged
        #[arg(long)]
        force: bool,
        /// Do not wait for the result
        #[arg(long)]
        no_wait: bool,
    },
    /// List the feeds of the built-in catalogue
    Catalogue,
}

#[derive(clap::Args, Debug)]
struct Add {
    /// Its name, e.g. "spamhaus-drop"
    name: FeedName,
    /// Its URL (https://...) or the path of a file; ${key} is replaced by the key
    #[arg(value_name = "URL|FILE")]
    source: Option<String>,
    /// Its format: auto, plain, csv:COLUMN or json:PATH, e.g. json:prefixes[].ip_prefix
    #[arg(long)]
    format: Option<String>,
    /// The file with the key; other users must not be able to read it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A header to send, e.g. 'Authorization: Bearer ${key}'; can be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// How often to check for a new version, e.g. 12h; default: 6h, or 5m for a file
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    every: Option<Duration>,
    /// Do not wait for the result; a file need not exist yet
    #[arg(long)]
    no_wait: bool,
}

impl Run for FeedCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.action {
            Action::Add(add) => add.run(context),
            Action::Remove { name } => {
                context.change(api::Request::of(Request::Remove { name: name.clone() }))
            }
            Action::List => {
                let feeds = feeds(context)?;
                if context.json {
                    screen::say_json(&json::feeds(&feeds));
                } else {
                    show::list(&feeds);
                }
                Ok(ExitCode::SUCCESS)
            }
            Action::Show { name } => show_one(context, name),
            Action::Refresh { name, force, no_wait } => {
                let request = api::Request::of(Request::Refresh { name: name.clone() });
                let request = request.forced(*force);
                if *no_wait {
                    return context.change(request);
                }
                client::change(&context.paths, request)?;
                wait(context, name.as_ref())
            }
            Action::Catalogue => {
                if context.json {
                    screen::say_json(&catalogue::CATALOGUE);
                } else {
                    show::catalogue();
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Run for Add {
    fn run(&self, context: &Context) -> Outcome {
        let feed = self.feed()?;
        feed.check().map_err(|what| Failure::new(Code::Usage, what))?;
        if !self.no_wait {
            self.look_for_files(&feed)?;
        }
        let request = api::Request::of(Request::Add(Box::new(feed)));
        if self.no_wait {
            return context.change(request);
        }
        let done = client::change(&context.paths, request)?;
        let outcome = wait(context, Some(&self.name))?;
        if !context.json {
            // That it is being fetched is no news any more.
            wording::done(&done).lines().skip(1).for_each(screen::say);
        }
        Ok(outcome)
    }
}

impl Add {
    /// The feed to ask for: from the catalogue, with what was said otherwise.
    fn feed(&self) -> Result<Feed, Failure> {
        let known = catalogue::find(self.name.as_str()).filter(|_| self.source.is_none());
        let mut feed = match (known, &self.source) {
            (Some(known), _) => known.feed().map_err(Failure::failed)?,
            (None, Some(source)) => Feed {
                name: self.name.clone(),
                source: full_path(source)?,
                format: "auto".to_owned(),
                headers: Vec::new(),
                key_file: None,
                every: if source.starts_with("http") { INTERVAL } else { EVERY_FILE },
                since: Time::default(),
                by: String::new(),
                origin: None,
            },
            (None, None) => return Err(self.unknown()),
        };
        if let (Some(known), None) = (known.filter(|known| known.needs_key), &self.key_file) {
            return Err(self.without_key(known.homepage));
        }
        if let Some(format) = &self.format {
            feed.format.clone_from(format);
        }
        if let Some(every) = self.every {
            feed.every = every;
        }
        if let Some(path) = &self.key_file {
            feed.key_file = Some(full_path(&path.to_string_lossy())?);
        }
        feed.headers.clone_from(&self.headers);
        Ok(feed)
    }

    /// A file that is not there is a typing mistake, most often: nothing is added for it. What
    /// cannot be told from here, such as a file in another's folder, the daemon will tell.
    fn look_for_files(&self, feed: &Feed) -> Result<(), Failure> {
        let path = feed.source.strip_prefix("file://").unwrap_or(&feed.source);
        let list = Some(path).filter(|path| path.starts_with('/'));
        for (path, is_key) in [(list, false), (feed.key_file.as_deref(), true)] {
            let Some(path) = path else { continue };
            let Some(trouble) = io::trouble_with(Path::new(path)) else { continue };
            let written = self.source.as_deref().filter(|written| !is_key && names_host(written));
            let hint = written.map_or_else(String::new, |written| {
                format!("; if it is on the web, write https://{written}")
            });
            let what = if is_key { "the key file " } else { "" };
            let what = format!("{what}{path} {trouble}: nothing is added{hint}");
            return Err(Failure::new(Code::Usage, what));
        }
        Ok(())
    }

    fn without_key(&self, homepage: &str) -> Failure {
        let name = &self.name;
        let what = format!(
            "{name} needs a key from {homepage}: write it to a file, run \"chmod 600\" on it, then \"nightlatch feed add {name} --key-file /etc/nightlatch/{name}.key\""
        );
        Failure::new(Code::Usage, what)
    }

    fn unknown(&self) -> Failure {
        let near = match catalogue::near(self.name.as_str()).as_slice() {
            [] => String::new(),
            near => format!("; did you mean {}?", near.join(" or ")),
        };
        let what = format!(
            "\"{}\" is not in the catalogue (\"nightlatch feed catalogue\"): give its URL or file{near}",
            self.name
        );
        Failure::new(Code::Usage, what)
    }
}

/// The daemon does not know in which folder the administrator is.
fn full_path(source: &str) -> Result<String, Failure> {
    if source.contains("://") {
        return Ok(source.to_owned());
    }
    let path = std::path::absolute(source)
        .map_err(|error| Failure::new(Code::Usage, format!("{source}: {error}")))?;
    let path = path.into_os_string().into_string();
    path.map_err(|_| Failure::new(Code::Usage, format!("{source}: not a path in UTF-8")))
}

/// Whether it looks like `list.example.net/bad.txt`: a web address without its beginning.
fn names_host(written: &str) -> bool {
    let host = written.split_once('/').map_or("", |(host, _)| host);
    host.contains('.') && !host.starts_with('.')
}

fn header(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("\"{text}\" is not a valid header: write 'Name: value'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let sound = !name.is_empty() && name.bytes().all(token) && value.trim().bytes().all(plain);
    if sound { Ok((name.to_owned(), value.trim().to_owned())) } else { Err(wrong()) }
}

fn feeds(context: &Context) -> Result<Vec<FeedView>, Failure> {
    let replies = context.ask(vec![Request::List.into()])?;
    let feeds = replies.into_iter().find_map(|reply| match reply {
        Reply::Feeds(feeds::Reply::All(feeds)) => Some(feeds),
        _ => None,
    });
    feeds.ok_or_else(|| client::unfitting(&"no feeds"))
}

fn show_one(context: &Context, name: &FeedName) -> Outcome {
    let feeds = feeds(context)?;
    let view = feeds.iter().find(|view| view.feed.name == *name).ok_or_else(|| {
        let list = "\"nightlatch feed list\" shows all of them";
        Failure::no(format!("there is no feed \"{name}\": {list}"))
    })?;
    if context.json {
        screen::say_json(&json::feed(view));
    } else {
        show::one(view);
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until what is being fetched has come through, and says how it went: exit code 1 where
/// any of it was refused or failed.
fn wait(context: &Context, name: Option<&FeedName>) -> Outcome {
    let begun = Stopwatch::start();
    loop {
        let mut feeds = feeds(context)?;
        feeds.retain(|view| name.is_none_or(|name| view.feed.name == *name));
        if feeds.is_empty() {
            return Err(Failure::no("the feed was removed in the meantime"));
        }
        if feeds.iter().any(|view| view.fetching) {
            show::progress(&feeds, begun.elapsed());
            std::thread::sleep(LOOK_INTERVAL);
            continue;
        }
        screen::progress("");
        if context.json {
            screen::say_json(&json::feeds(&feeds));
        } else {
            feeds.iter().for_each(|view| show::outcome(view, begun.elapsed()));
        }
        let well = feeds.iter().all(|view| view.state.failures == 0);
        return Ok(if well { ExitCode::SUCCESS } else { Code::No.exit() });
    }
}
