//! `open`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::time::Time;
use nightlatch_parse::spa::Card;

use super::io::{self, Work};
use super::keep::{Kept, LOOK_UP, Next, TICK, Why};
use super::logic::{self, Action, Family, Report, Tried};
use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::clock::{self, Stopwatch};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{addresses, screen};

/// A clock that ran further than this beyond the time that this process ran means that it was asleep.
const ASLEEP: Duration = Duration::from_secs(60);

/// Open access to a telephone server for this computer, with the card of a user
#[derive(clap::Args, Debug)]
pub struct Open {
    /// The server's name or address; default: that on the card
    #[arg(value_parser = host)]
    host: Option<String>,
    /// The card, as "nightlatch user card" on the server prints or writes it
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// Keep running, and repeat it after a change of address and before the lease ends; Ctrl-C ends it
    #[arg(long, conflicts_with = "close")]
    keep: bool,
    /// End the lease
    #[arg(long)]
    close: bool,
    /// The address to open, if it is not the source of the packet: one of IPv4, one of IPv6, or both
    #[arg(long, value_name = "ADDRESS", value_parser = addresses::one)]
    address: Vec<IpAddr>,
    #[command(flatten)]
    only: Only,
}

/// Which families are used; both without.
#[derive(clap::Args, Debug)]
struct Only {
    /// Only over IPv4
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Only over IPv6
    #[arg(short = '6', long)]
    ipv6: bool,
}

/// A host name or an address.
fn host(text: &str) -> Result<String, String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_host = text.bytes().all(is_known) && !text.starts_with(['-', '.']);
    if is_host && (1..=253).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("write a host name or an address, e.g. pbx.example.net".to_owned())
    }
}

impl Run for Open {
    fn run(&self, context: &Context) -> Outcome {
        let given = self.given()?;
        let card = read(&self.card)?;
        let host = self.host.clone().unwrap_or_else(|| card.server.clone());
        let action = if self.close { Action::Close } else { Action::Open };
        let session =
            Session { work: Work { card, action, given }, host, only: self.only.family() };
        let found = io::resolve(&session.host)
            .map_err(|error| Failure::no(wording::not_found(&session.host, &error)))?;
        session.warn_of_another_host(&found);
        let tried = io::everywhere(&session.work, &logic::targets(&found, session.only));
        let missing = logic::without_address(&found, session.only);
        let report = session.report([tried, missing].concat());
        if context.json {
            screen::say_json(&report);
        } else {
            wording::lines(&report, clock::now()).iter().for_each(screen::say);
        }
        if self.keep {
            session.keep(&report, context);
        }
        Ok(if report.verified { ExitCode::SUCCESS } else { Code::No.exit() })
    }
}

impl Only {
    fn family(&self) -> Option<Family> {
        match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::Ipv4),
            (_, true) => Some(Family::Ipv6),
            _ => None,
        }
    }
}

impl Open {
    /// The addresses to name, at most one for each family.
    fn given(&self) -> Result<Vec<IpAddr>, Failure> {
        let given: Vec<IpAddr> = self.address.iter().map(IpAddr::to_canonical).collect();
        let wrong = |what: &str| Err(Failure::new(Code::Usage, what));
        if given.iter().any(IpAddr::is_unspecified) {
            return wrong("leave --address out, if the source of the packet is to be opened");
        }
        let count = |family| given.iter().filter(|it| Family::of(it) == family).count();
        if count(Family::Ipv4) > 1 || count(Family::Ipv6) > 1 {
            return wrong("--address: one address of IPv4 and one of IPv6 at most");
        }
        Ok(given)
    }
}

/// Reads a card, and warns where others may read it too.
fn read(path: &Path) -> Result<Card, Failure> {
    let file = io::read_card(path)
        .map_err(|error| Failure::new(Code::Usage, wording::unreadable(path, &error)))?;
    let card = Card::read(file.text.reveal())
        .map_err(|error| Failure::new(Code::Usage, wording::no_card(path, error)))?;
    if file.is_public {
        screen::complain(wording::public_card(path));
    }
    Ok(card)
}

/// One run of the command.
struct Session {
    work: Work,
    host: String,
    only: Option<Family>,
}

impl Session {
    fn report(&self, tried: Vec<Tried>) -> Report {
        Report::new(self.work.action, &self.host, &self.work.card.user, tried)
    }

    /// Warns if the card is for a server elsewhere.
    fn warn_of_another_host(&self, found: &[IpAddr]) {
        let on_card = &self.work.card.server;
        if self.host.eq_ignore_ascii_case(on_card) {
            return;
        }
        let is_same = |known: Vec<IpAddr>| known.iter().any(|address| found.contains(address));
        if !io::resolve(on_card).is_ok_and(is_same) {
            screen::complain(wording::other_host(&self.host, on_card));
        }
    }

    /// Repeats it until nobody reads any more what it says.
    fn keep(&self, report: &Report, context: &Context) {
        if !context.json {
            screen::say(wording::keeping(&self.host));
        }
        let watch = Stopwatch::start();
        let kept = |it: &Tried| Kept::new(it, watch.elapsed());
        let mut kept: Vec<Kept> = report.paths.iter().filter_map(kept).collect();
        let mut looked_up = Duration::ZERO;
        let mut last = (clock::now(), Duration::ZERO);
        while !screen::nobody_listens() {
            io::pause(TICK);
            let now = watch.elapsed();
            if has_slept(&mut last, now) {
                kept.iter_mut().for_each(Kept::woke);
            }
            let mut due = due(&mut kept, self.work.card.port, &watch);
            if !due.is_empty() || now.saturating_sub(looked_up) >= LOOK_UP {
                looked_up = now;
                due.extend(self.other_addresses(&mut kept));
            }
            if !due.is_empty() {
                self.again(&mut kept, &due, &watch, context);
            }
        }
    }

    /// Looks the server up again. Returns the addresses that are new; forgets those that are gone.
    fn other_addresses(&self, kept: &mut Vec<Kept>) -> Vec<(IpAddr, Why)> {
        // While the name server does not answer, the addresses stay.
        let Ok(found) = io::resolve(&self.host) else { return Vec::new() };
        let targets = logic::targets(&found, self.only);
        if targets.is_empty() {
            return Vec::new();
        }
        kept.retain(|it| targets.contains(&it.server));
        let new = targets.into_iter().filter(|it| kept.iter().all(|kept| kept.server != *it));
        new.map(|server| (server, Why::Regular)).collect()
    }

    fn again(
        &self,
        kept: &mut Vec<Kept>,
        due: &[(IpAddr, Why)],
        watch: &Stopwatch,
        context: &Context,
    ) {
        let servers: Vec<IpAddr> = due.iter().map(|(server, _)| *server).collect();
        let tried = io::everywhere(&self.work, &servers);
        let now = watch.elapsed();
        for (it, (server, why)) in tried.iter().zip(due) {
            match kept.iter_mut().find(|kept| kept.server == *server) {
                Some(kept) => kept.tried(it, now),
                None => kept.extend(Kept::new(it, now)),
            }
            if !context.json {
                screen::say(wording::again(it, *why, clock::now()));
            }
        }
        if context.json {
            screen::say_json(&self.report(tried));
        }
    }
}

/// Asks what is to be asked, and returns the servers to which packets are to be sent.
fn due(kept: &mut [Kept], port: u16, watch: &Stopwatch) -> Vec<(IpAddr, Why)> {
    let mut due = Vec::new();
    for it in kept {
        let source = io::source_towards(it.server, port).ok();
        if let Next::Ask { source, service } = it.next(watch.elapsed(), source) {
            let answers = io::answers(it.server, source, service);
            it.answered(answers, watch.elapsed());
        }
        if let Next::Send(why) = it.next(watch.elapsed(), source) {
            due.push((it.server, why));
        }
    }
    due
}

/// Whether the wall clock ran much further than this process since `last`.
fn has_slept(last: &mut (Time, Duration), now: Duration) -> bool {
    let wall = clock::now();
    let (wall_before, before) = *last;
    *last = (wall, now);
    wall.since(wall_before) > now.saturating_sub(before).saturating_add(ASLEEP)
}
