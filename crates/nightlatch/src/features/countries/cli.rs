//! `country block`, `unblock`, `allow`, `list`, `refresh`, `of`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api::{Countries, Reply, Request};
use nightlatch_core::time::show_span;
use nightlatch_parse::country::{self, CountryCode, NoSuch};

use super::io;
use crate::features::{Context, Run};
use crate::shell::clock::{self, Stopwatch};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{addresses, client, screen};

/// How often to ask the daemon how it goes.
const GLANCE: Duration = Duration::from_millis(200);

/// What "all" means where strangers are let in.
const LETS_IN: &str = "it lets strangers in from everywhere";

/// Shut strangers of whole countries out, or let in only those of some; holds in mode open
#[derive(clap::Args, Debug)]
pub struct CountryCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Shut countries out, besides those that are
    Block {
        /// Codes or names: CN RU "North Korea"
        #[arg(required = true, value_name = "COUNTRY", value_parser = several)]
        countries: Vec<Several>,
        /// Even if you could not come in any more
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Shut them out no longer
    Unblock {
        /// Codes or names, or "all"
        #[arg(required = true, value_name = "COUNTRY", value_parser = country_or_all)]
        countries: Vec<Only>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Let strangers in only from these; from everywhere with "all"
    #[command(visible_alias = "only")]
    Allow {
        /// Codes or names, or "all"
        #[arg(required = true, value_name = "COUNTRY", value_parser = country_or_all)]
        countries: Vec<Only>,
        /// Even if you could not come in any more
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Show what is shut out, and the table it is known by
    List,
    /// Read the table now
    Refresh {
        /// Believe it whatever its size and whomever it shuts out
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Say to which country an address belongs; works without the daemon
    Of {
        /// The address
        #[arg(value_parser = addresses::one)]
        address: IpAddr,
    },
}

#[derive(clap::Args, Clone, Copy, Debug)]
struct Waiting {
    /// Do not wait until the table has been read
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
                let request = Request::CountryBlock { countries: set(countries), force: *force };
                change(context, request, *waiting)
            }
            Action::Unblock { countries: named, waiting } => {
                let mut named = only(named, "it unblocks every country")?;
                if named.is_empty() {
                    named = countries(context)?.rules.blocked;
                }
                if named.is_empty() {
                    return Err(Failure::no("no country is blocked"));
                }
                change(context, Request::CountryUnblock(named), *waiting)
            }
            Action::Allow { countries, force, waiting } => {
                let request =
                    Request::CountryAllow { countries: only(countries, LETS_IN)?, force: *force };
                change(context, request, *waiting)
            }
            Action::Refresh { force, waiting } => {
                change(context, Request::CountryRefresh { force: *force }, *waiting)
            }
            Action::List => {
                let countries = countries(context)?;
                if context.json {
                    screen::say_json(&countries);
                } else {
                    show(&countries);
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
                let what = format!("\"all\" stands alone: {all}");
                return Err(Failure::new(Code::Usage, what));
            }
        }
    }
    Ok(codes)
}

/// Asks for a change, and waits until the table it needs has been read.
fn change(context: &Context, request: Request, waiting: Waiting) -> Outcome {
    let message = client::change(&context.paths, request)?;
    if context.json && waiting.no_wait {
        screen::say_json(&Reply::Done { message });
        return Ok(ExitCode::SUCCESS);
    }
    let sentences: Vec<&str> = message.lines().collect();
    let begun = Stopwatch::start();
    loop {
        let now = countries(context)?;
        if now.reading && !waiting.no_wait {
            screen::progress(&format!(
                "reading {}, {} s",
                now.source.join(", "),
                begun.elapsed().as_secs()
            ));
            std::thread::sleep(GLANCE);
            continue;
        }
        screen::progress("");
        if let Some(reason) = now.taken_back {
            return Err(Failure::no(reason));
        }
        if context.json {
            screen::say_json(&now);
        } else {
            if lacks_table(&now) && !waiting.no_wait {
                screen::complain("NOT YET   for want of a table of countries:");
            }
            // That the table is being read is no news any more.
            let told =
                sentences.iter().filter(|line| waiting.no_wait || !line.contains("being read"));
            told.for_each(screen::say);
            tell_table(&now);
        }
        let well = waiting.no_wait || !now.failed || now.rules.is_empty();
        return Ok(if well { ExitCode::SUCCESS } else { Code::No.exit() });
    }
}

fn countries(context: &Context) -> Result<Countries, Failure> {
    match client::ask(&context.paths, Request::CountryList)? {
        Reply::Countries(countries) => Ok(countries),
        other => Err(Failure::failed(format!("the daemon gave an unfitting answer: {other:?}"))),
    }
}

fn show(countries: &Countries) {
    let rules = &countries.rules;
    if rules.is_empty() {
        screen::say("no country is shut out");
    }
    let rows: Vec<Vec<String>> = countries
        .sizes
        .iter()
        .map(|size| {
            let held = if rules.blocked.contains(&size.country) { "blocked" } else { "let in" };
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

fn tell_table(countries: &Countries) {
    let source = countries.source.join(", ");
    if countries.rules.is_empty() {
        screen::say(format!("source    {source}, read when a country is named"));
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
    let result = screen::printable(&countries.result);
    if countries.failed {
        screen::complain(format!("FAILED    the last look at the source: {result}"));
    } else if countries.reading {
        screen::say("reading   the source is being read");
    }
    let unknown = countries.sizes.iter().filter(|size| size.v4_ranges + size.v6_ranges == 0);
    for size in unknown.filter(|_| countries.ranges > 0 && !countries.reading) {
        let name = country::name(size.country).unwrap_or("-");
        screen::complain(format!("WARNING   the table knows no address of {name}"));
    }
    if countries.stale {
        screen::complain(
            "OLD       the table in force is more than ten times as old as it should be",
        );
    }
    if lacks_table(countries) {
        let advice = match source.starts_with("/usr/share/tor") {
            true => "Debian's package tor-geoipdb brings one",
            false => "see [countries] source in the configuration",
        };
        screen::complain(format!("WARNING   without a table no country is shut out; {advice}"));
    }
}

/// Whether rules hold for nobody, since there is no table.
fn lacks_table(countries: &Countries) -> bool {
    countries.ranges == 0 && !countries.reading && !countries.rules.is_empty()
}

#[derive(serde::Serialize)]
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
