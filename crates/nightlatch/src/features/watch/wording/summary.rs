//! What is said about a day or a week.

use nightlatch_core::AddrRange;
use nightlatch_core::detect::{Bin, FromSource, Span, Summary};
use nightlatch_core::time::Time;
use serde::Serialize;
use serde_json::{Value, json};

use super::{count, service};
use crate::features::places::{Place, Places};
use crate::shell::screen::{self, grouped};

/// The longest bar of the text.
const BAR: u64 = 30;
/// Where a list has nothing.
pub(in crate::features::watch) const NONE: &str = "none";

/// What came most often.
pub(in crate::features::watch) struct List {
    pub(in crate::features::watch) title: &'static str,
    pub(in crate::features::watch) rows: Vec<(String, u64)>,
}

/// The summary on the screen.
pub(in crate::features::watch) fn text(summary: &Summary, places: &Places) -> Vec<String> {
    let mut lines = vec![format!("{}. {}.", title(summary), times(summary)), String::new()];
    let most = summary.bins.iter().map(|bin| bin.attempts).max().unwrap_or(0).max(1);
    let head = match summary.span {
        Span::Day => "HOUR (UTC)",
        Span::Week => "DAY (UTC) ",
    };
    lines.push(format!("{head}  {:>12}  {:>8}", "ATTEMPTS", "BANS"));
    for bin in &summary.bins {
        let length = u128::from(bin.attempts) * u128::from(BAR) / u128::from(most);
        let length = usize::try_from(length).unwrap_or(0).max(usize::from(bin.attempts > 0));
        let line = format!(
            "{:<10}  {:>12}  {:>8}  {}",
            begin(summary.span, bin),
            grouped(bin.attempts.into()),
            grouped(bin.bans.into()),
            "#".repeat(length)
        );
        lines.push(line.trim_end().to_owned());
    }
    for list in lists(summary, places) {
        lines.push(String::new());
        lines.push(list.title.to_owned());
        if list.rows.is_empty() {
            lines.push(format!("  {NONE}"));
        }
        let rows = list.rows.iter();
        lines.extend(rows.map(|(name, count)| format!("{:>12}  {name}", grouped((*count).into()))));
    }
    lines.extend([String::new(), remark(summary)]);
    lines
}

/// How much there was.
pub(in crate::features::watch) fn title(summary: &Summary) -> String {
    let limits = match summary.limits {
        0 => String::new(),
        limits => format!(", {}", count(limits, "source limited", "sources limited")),
    };
    format!(
        "{}, {}{limits}",
        count(summary.attempts, "failed attempt", "failed attempts"),
        count(summary.bans, "ban", "bans")
    )
}

/// Of which time it tells.
pub(in crate::features::watch) fn times(summary: &Summary) -> String {
    format!("From {} to {}", summary.from, summary.until)
}

/// The picture for those who do not see it.
pub(in crate::features::watch) fn description(summary: &Summary, places: &Places) -> String {
    let most = summary.bins.iter().max_by_key(|bin| (bin.attempts, std::cmp::Reverse(bin.begin)));
    let most = most.filter(|bin| bin.attempts > 0).map_or_else(String::new, |bin| {
        let span = match summary.span {
            Span::Day => "hour",
            Span::Week => "day",
        };
        let count = grouped(bin.attempts.into());
        format!(" Most in the {span} that began at {}: {count}.", bin.begin)
    });
    let first: Vec<String> = lists(summary, places)
        .into_iter()
        .filter_map(|list| {
            let (name, count) = list.rows.into_iter().next()?;
            Some(format!(" {}: {name}, {}.", list.title, grouped(count.into())))
        })
        .collect();
    format!("{}.{most}{}", times(summary), first.concat())
}

/// What stands above the bars of a class.
pub(in crate::features::watch) fn chart(class: &str) -> &'static str {
    match class {
        "bans" => "Bans",
        _ => "Failed attempts",
    }
}

/// What a bar stands for.
pub(in crate::features::watch) fn bar(class: &str, bin: &Bin, count: u64) -> String {
    let (one, many) = match class {
        "bans" => ("ban", "bans"),
        _ => ("failed attempt", "failed attempts"),
    };
    format!("from {}: {}", bin.begin, super::count(count, one, many))
}

/// When an hour or a day begins, in short.
pub(in crate::features::watch) fn begin(span: Span, bin: &Bin) -> String {
    let whole = Time::to_string(&bin.begin);
    let part = match span {
        Span::Day => whole.get(11..16),
        Span::Week => whole.get(..10),
    };
    part.unwrap_or_default().to_owned()
}

/// The lists, each with what came most often first. Texts of attackers are in quotes.
pub(in crate::features::watch) fn lists(summary: &Summary, places: &Places) -> [List; 3] {
    let sources = summary.sources.iter();
    let sources = sources.map(|it| match place(it, places).country {
        Some(country) => (format!("{}, {}", it.source, country.code), it.attempts),
        None => (it.source.clone(), it.attempts),
    });
    let accounts = summary.accounts.iter();
    let accounts = accounts.map(|it| (screen::quoted(&it.account), it.attempts));
    let services = summary.services.iter();
    let services = services.map(|it| (service(it.service).to_owned(), it.attempts));
    [
        List { title: "Sources", rows: sources.collect() },
        List { title: "Accounts tried", rows: accounts.collect() },
        List { title: "Services", rows: services.collect() },
    ]
}

/// The summary in JSON.
pub(in crate::features::watch) fn json(summary: &Summary, places: &Places) -> Value {
    let sources = summary.sources.iter();
    let sources = sources.map(|it| ShownSource { source: it, place: place(it, places) });
    let sources: Vec<ShownSource<'_>> = sources.collect();
    let mut value = json!(summary);
    if let Some(all) = value.get_mut("sources") {
        *all = json!(sources);
    }
    value
}

#[derive(Serialize)]
struct ShownSource<'a> {
    #[serde(flatten)]
    source: &'a FromSource,
    #[serde(flatten)]
    place: Place,
}

fn place(source: &FromSource, places: &Places) -> Place {
    let range = source.source.parse::<AddrRange>();
    range.map(|range| places.at(range.first_address())).unwrap_or_default()
}

/// How exact it is.
pub(in crate::features::watch) fn remark(summary: &Summary) -> String {
    let exact = match summary.is_exact {
        true => "",
        false => {
            " There were too many sources or accounts to count each: each came at least so often."
        }
    };
    format!("Attempts, not lines of logs, are counted; times are UTC.{exact}")
}
