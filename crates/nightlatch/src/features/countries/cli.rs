//! `country block`, `unblock`, `allow`, `list`, `refresh`, `of`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api::{self, Done};
use nightlatch_core::features::Reply;
use nightlatch_core::features::countries::{self, CountryRules, CountrySize, Request, Shown};
use nightlatch_core::time::{Time, show_span};
use nightlatch_parse::country::{self, CountryCode, NoSuch};
use serde::Serialize;

use super::{io, wording as in_words};
use crate::features::context::{Context, Run};
use crate::shell::clock::{self, Stopwatch};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{addresses, client, screen};
use crate::wording;

/// How often to ask the daemon how it goes.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What "all" means where strangers are let in.
const LETS_IN: &str = "it allows strangers from everywhere";

/// Block strangers by country, or allow only some countries; applies in mode open
#[derive(clap::Args, Debug)]
pub struct CountryCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Block countries, in addition to those already blocked
    Block {
        /// Codes or names: CN RU "North Korea"
        #[arg(required = true, value_name = "COUNTRY", value_parser = several)]
        countries: Vec<Several>,
        /// Proceed even if this locks you out
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Unblock countries
    Unblock {
        /// Codes or names, or "all"
        #[arg(required = true, value_name = "COUNTRY", value_parser = country_or_all)]
        countries: Vec<Only>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Allow strangers only from these countries; "all" means from everywhere
    #[command(visible_alias = "only")]
    Allow {
        /// Codes or names, or "all"
        #[arg(required = true, value_name = "COUNTRY", value_parser = country_or_all)]
        countries: Vec<Only>,
        /// Proceed even if this locks you out
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Show the blocked or allowed countries, and the GeoIP table in use
    List,
    /// Load the table now
    Refresh {
        /// Accept the table whatever its size, and even if it blocks you
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Show to which country an address belongs; works without the daemon
    Of {
        /// The address
        #[arg(value_parser = addresses::one)]
        address: IpAddr,
    },
}

#[derive(clap::Args, Clone, Copy, Debug)]
struct Waiting {
    /// Do not wait until the table is loaded
    #[arg(long)]
    no_wait: bool,
}

/// What one word of the command line names: a country, or several with commas between them.
#[derive(Clone, Debug)]
struct Several(Vec<CountryCode>);

fn several(text: &str) -> Result<Several, NoSuch> {
    if let Ok(one) = country::find(text) {
        return Ok(Several(vec![one]));
    }
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let found: Vec<CountryCode> = parts.map(country::find).collect::<Result<_, _>>()?;
    if found.is_empty() {
        country::find(text).map(|one| Several(vec![one]))
    } else {
        Ok(Several(found))
    }
}

#[derive(Clone, Debug)]
enum Only {
    All,
    These(Several),
}

fn country_or_all(text: &str) -> Result<Only, NoSuch> {
    if text.eq_ignore_ascii_case("all") { Ok(Only::All) } else { several(text).map(Only::These) }
}

impl Run for CountryCommand {
    fn run(&self, context: &Context) -> Outcome {
        let set = |named: &[Several]| -> BTreeSet<CountryCode> {
            named.iter().flat_map(|several| several.0.iter().copied()).collect()
        };
        match &self.action {
            Action::Block { countries, force, waiting } => {
                change(context, Request::Block(set(countries)), *force, *waiting)
            }
            Action::Unblock { countries: named, waiting } => {
                let mut named = only(named, "it unblocks every country")?;
                if named.is_empty() {
                    named = shown(context)?.rules.blocked;
                }
                if named.is_empty() {
                    return Err(Failure::no("no country is blocked"));
                }
                change(context, Request::Unblock(named), false, *waiting)
            }
            Action::Allow { countries, force, waiting } => {
                let countries = only(countries, LETS_IN)?;
                change(context, Request::Allow(countries), *force, *waiting)
            }
            Action::Refresh { force, waiting } => {
                change(context, Request::Refresh, *force, *waiting)
            }
            Action::List => {
                let shown = shown(context)?;
                if context.json {
                    screen::say_json(&InJson::of(&shown));
                } else {
                    show(&shown);
                }
                Ok(ExitCode::SUCCESS)
            }
            Action::Of { address } => of(context, *address),
        }
    }
}

/// The countries named; none for "all".
fn only(countries: &[Only], all: &str) -> Result<BTreeSet<CountryCode>, Failure> {
    let mut codes = BTreeSet::new();
    for country in countries {
        match country {
            Only::These(several) => codes.extend(several.0.iter().copied()),
            Only::All if countries.len() == 1 => {}
            Only::All => {
                let what = format!("\"all\" cannot be combined with countries: {all}");
                return Err(Failure::new(Code::Usage, what));
            }
        }
    }
    Ok(codes)
}

/// Asks for a change, and waits until the table it needs has been read.
fn change(context: &Context, request: Request, force: bool, waiting: Waiting) -> Outcome {
    let done = client::change(&context.paths, api::Request::of(request).forced(force))?;
    if context.json && waiting.no_wait {
        context.say_done(&done);
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Stopwatch::start();
    loop {
        let now = shown(context)?;
        if now.reading && !waiting.no_wait {
            screen::progress(&format!(
                "reading {}, {} s",
                now.source.join(", "),
                begun.elapsed().as_secs()
            ));
            std::thread::sleep(LOOK_INTERVAL);
            continue;
        }
        screen::progress("");
        if let Some(why) = &now.taken_back {
            return Err(Failure::no(in_words::taken_back(why)));
        }
        if context.json {
            screen::say_json(&InJson::of(&now));
        } else {
            if lacks_table(&now) && !waiting.no_wait {
                screen::complain("PENDING   no GeoIP table is loaded yet:");
            }
            let done = if waiting.no_wait { done } else { when_read(done) };
            wording::done(&done).lines().for_each(screen::say);
            tell_table(&now);
        }
        let well = waiting.no_wait || !now.failed || now.rules.is_empty();
        return Ok(if well { ExitCode::SUCCESS } else { Code::No.exit() });
    }
}

/// What is said when the table has been read: that it is being read is no news any more.
fn when_read(mut done: Done) -> Done {
    let reading = Reply::Countries(countries::Reply::Reading);
    done.said.retain(|reply| *reply != reading);
    for reply in &mut done.said {
        if let Reply::Countries(countries::Reply::Set { has_table, .. }) = reply {
            *has_table = true;
        }
    }
    done
}

fn shown(context: &Context) -> Result<Shown, Failure> {
    let replies = context.ask(vec![Request::List.into()])?;
    let shown = replies.into_iter().find_map(|reply| match reply {
        Reply::Countries(countries::Reply::All(shown)) => Some(*shown),
        _ => None,
    });
    shown.ok_or_else(|| client::unfitting(&"no countries"))
}

/// The countries in JSON, with sentences where the daemon has data.
#[derive(Serialize)]
struct InJson<'a> {
    rules: &'a CountryRules,
    source: &'a [String],
    taken: Option<Time>,
    result: String,
    failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_back: Option<String>,
    stale: bool,
    reading: bool,
    ranges: usize,
    sizes: &'a [CountrySize],
}

impl InJson<'_> {
    fn of(shown: &Shown) -> InJson<'_> {
        InJson {
            rules: &shown.rules,
            source: &shown.source,
            taken: shown.taken,
            result: in_words::outcome(&shown.result),
            failed: shown.failed,
            taken_back: shown.taken_back.as_ref().map(in_words::taken_back),
            stale: shown.stale,
            reading: shown.reading,
            ranges: shown.ranges,
            sizes: &shown.sizes,
        }
    }
}

fn show(countries: &Shown) {
    let rules = &countries.rules;
    if rules.is_empty() {
        screen::say("no country is blocked");
    }
    let rows: Vec<Vec<String>> = countries
        .sizes
        .iter()
        .map(|size| {
            let held = if rules.blocked.contains(&size.country) { "blocked" } else { "allowed" };
            vec![
                size.country.to_string(),
                country::name(size.country).unwrap_or("-").to_owned(),
                held.to_owned(),
                size.v4_addresses.to_string(),
                size.v4_ranges.to_string(),
                size.v6_ranges.to_string(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let header =
            ["CODE", "COUNTRY", "STRANGERS", "IPV4 ADDRESSES", "IPV4 RANGES", "IPV6 RANGES"];
        screen::table(&header, &rows);
    }
    if !rules.only.is_empty() {
        screen::say("everybody else    blocked");
    }
    tell_table(countries);
}

fn tell_table(countries: &Shown) {
    let source = countries.source.join(", ");
    if countries.rules.is_empty() {
        screen::say(format!("source    {source}, loaded when a country is blocked or allowed"));
        return;
    }
    let age = countries.taken.map(|at| show_span(clock::now().since(at)));
    let age = age.map_or_else(String::new, |age| format!(", read {age} ago"));
    match (countries.ranges, countries.failed) {
        (0, true) => screen::say("table     none"),
        // It may come from another source, named before.
        (ranges, true) => screen::say(format!("table     {ranges} ranges{age}")),
        (ranges, false) => screen::say(format!("table     {ranges} ranges of {source}{age}")),
    }
    let result = screen::printable(&in_words::outcome(&countries.result));
    if countries.failed {
        screen::complain(format!("FAILED    the last check of the source: {result}"));
    } else if countries.reading {
        screen::say("reading   the source is being read");
    }
    let unknown = countries.sizes.iter().filter(|size| size.v4_ranges + size.v6_ranges == 0);
    for size in unknown.filter(|_| countries.ranges > 0 && !countries.reading) {
        let name = country::name(size.country).unwrap_or("-");
        screen::complain(format!("WARNING   the table has no addresses of {name}"));
    }
    if countries.stale {
        screen::complain("STALE     the active table is more than ten update intervals old");
    }
    if lacks_table(countries) {
        let advice = match source.starts_with("/usr/share/tor") {
            true => "install Debian's package tor-geoipdb",
            false => "set [countries] source in the configuration",
        };
        screen::complain(format!("WARNING   without a table no country is blocked; {advice}"));
    }
}

/// Whether rules hold for nobody, since there is no table.
fn lacks_table(countries: &Shown) -> bool {
    countries.ranges == 0 && !countries.reading && !countries.rules.is_empty()
}

#[derive(Serialize)]
struct Answer {
    address: IpAddr,
    country: Option<CountryCode>,
    name: Option<&'static str>,
    range: Option<String>,
    source: Option<String>,
}

fn of(context: &Context, address: IpAddr) -> Outcome {
    let place = io::look_up(&context.paths, address)?;
    let country = place.as_ref().map(|place| place.country);
    let name = country.and_then(country::name);
    if context.json {
        screen::say_json(&Answer {
            address,
            country,
            name,
            range: place.as_ref().map(|place| place.range.to_string()),
            source: place.as_ref().map(|place| place.from.clone()),
        });
    } else if let Some(place) = &place {
        let name = name.unwrap_or("a country without a name");
        screen::say(format!(
            "{address} belongs to {name} ({}), as {}, says {}",
            place.country, place.range, place.from
        ));
    } else {
        screen::say(format!("{address} belongs to no country"));
    }
    Ok(if place.is_some() { ExitCode::SUCCESS } else { Code::No.exit() })
}
