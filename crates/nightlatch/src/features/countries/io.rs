//! Reading the table of countries.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use nightlatch_core::AddrRange;
use nightlatch_core::features::countries as core;
use nightlatch_core::features::countries::{Config, DEFAULT_SOURCE, Event, FetchedTable, Job};
use nightlatch_core::lists::{Version, Versions};
use nightlatch_parse::country::mmdb::System;
use nightlatch_parse::country::{
    Builder, Countries, CountryCode, CountryTable, name as country_name,
};

mod kept;
mod sources;
mod systems;

use crate::features::about::About;
use crate::features::places::{self, Country, LookUp};
use crate::features::worded::Works;
use crate::shell::background::Background;
use crate::shell::configuration;
use crate::shell::fetch::{self, CountrySink, Limits, Source};
use crate::shell::kept::{Kept, read_kept};
use crate::shell::outcome::Failure;
use crate::shell::paths::Paths;
use crate::shell::screen;
use sources::Part;

/// Where `install.sh` puts the tables of `tor-geoipdb`, since the package itself would bring a Tor
/// server along.
const OWN_COUNTRIES: &str = "/usr/local/share/nightlatch";
/// How many ranges a table may have, whatever the number of its parts.
const MAX_RANGES: usize = 4_000_000;
/// How many remarks about a table are kept.
const MAX_NOTES: usize = 5;

/// The first of the folders that holds a table: the package tor alone leaves one without. Where
/// none does, the first, so that a message names it.
fn with_table<'a>(folders: &[&'a str]) -> &'a str {
    let found = folders.iter().find(|folder| Path::new(folder).join("geoip").exists());
    found.or(folders.first()).copied().unwrap_or_default()
}

impl Works for core::Countries {
    /// The usual source is the folder of a package, or ours where that is not there.
    fn find_defaults(config: &mut Config) {
        if *config == Config::default() {
            config.source = vec![with_table(&[DEFAULT_SOURCE, OWN_COUNTRIES]).to_owned()];
        }
    }

    /// From the table that is kept, or from files. Nothing is fetched for this.
    fn looked_up(paths: &Paths, about: &mut About) {
        let of_files = |source: &String| !source.contains("://");
        let only_files = configuration::read(&paths.config)
            .is_ok_and(|config| config.countries.source.iter().all(of_files));
        let place = match only_files {
            true => look_up(paths, about.address()).ok().flatten(),
            false => in_kept(paths, about.address()),
        };
        if let Some(place) = place {
            super::wording::add_place(&place, about);
        }
    }

    fn places(paths: &Paths) -> Option<LookUp> {
        let (tables, systems) = (tables(paths), systems::read(paths));
        let look_up = move |address: IpAddr, place: &mut places::Place| {
            place.system = systems.as_ref().and_then(|systems| {
                let System { range, number, organization } = systems.of(address)?;
                let organization = screen::printable(&organization);
                Some(places::System { number, organization, range })
            });
            let code = tables.iter().find_map(|table| table.of(address));
            place.country =
                code.map(|code| Country { code: code.to_string(), name: country_name(code) });
        };
        Some(Box::new(look_up))
    }

    fn kept(&self, kept: &Kept) -> Vec<Event> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let kept = read_kept("the cached GeoIP table", kept::read(kept));
        kept.map(Event::Restored).into_iter().collect()
    }

    fn run(job: Job, background: &Background) {
        match job {
            Job::Read { source, countries, known } => background
                .in_thread(move || Event::Read(read(&source, &countries, &known, MAX_RANGES))),
            Job::Keep(table) => background.with_kept(move |kept| {
                let error = kept::keep(kept, &table).err()?;
                Some(Event::NotKept { error: error.to_string() })
            }),
        }
    }
}

/// The table that is kept, and, unless that tells of all countries, what the source says, if it consists of files.
/// Nothing is fetched for this.
fn tables(paths: &Paths) -> Vec<Arc<CountryTable>> {
    let kept = kept::read(&Kept::of(paths)).ok();
    let tells_of_all = kept.as_ref().is_some_and(|kept| kept.tells_of.is_none());
    let mut tables: Vec<Arc<CountryTable>> = kept.into_iter().map(|kept| kept.table).collect();
    let source = configuration::read(&paths.config).map(|config| config.countries.source);
    if let Ok(source) = source
        && !tells_of_all
    {
        let is_file = |it: &String| !it.contains("://") && !sources::is_by_country(it);
        let files: Vec<String> = source.into_iter().filter(is_file).collect();
        let read = read(&files, &BTreeSet::new(), &Versions::new(), MAX_RANGES);
        tables.extend(read.ok().flatten().map(|fetched| fetched.table));
    }
    tables
}

/// What is known of an address without the daemon: from the table it keeps, or from the source.
pub(super) fn look_up(paths: &Paths, address: IpAddr) -> Result<Option<Place>, Failure> {
    if let Some(place) = in_kept(paths, address) {
        return Ok(Some(place));
    }
    let source = configuration::read(&paths.config)?.countries.source;
    let (partial, whole): (Vec<String>, Vec<String>) =
        source.into_iter().partition(|source| sources::is_by_country(source));
    if whole.is_empty() {
        return Err(Failure::no(format!(
            "{address} is in none of the countries that are blocked or allowed; for others, {} must be read by country: name one with \"nightlatch country block\" or \"country allow\"",
            partial.join(", ")
        )));
    }
    let read =
        read(&whole, &BTreeSet::new(), &Versions::new(), MAX_RANGES).map_err(Failure::failed)?;
    Ok(read.and_then(|fetched| found(&fetched.table, address, whole.join(", "))))
}

/// Where the table in force has an address.
fn in_kept(paths: &Paths, address: IpAddr) -> Option<Place> {
    let kept = kept::read(&Kept::of(paths)).ok()?;
    found(&kept.table, address, "the table in force".to_owned())
}

fn found(table: &CountryTable, address: IpAddr, from: String) -> Option<Place> {
    table.entry(address).map(|(range, country)| Place { range, country, from })
}

/// Where an address is.
pub(super) struct Place {
    pub(super) range: AddrRange,
    pub(super) country: CountryCode,
    /// What says so.
    pub(super) from: String,
}

/// Reads a table whole; `None` where all of its parts are the known ones.
fn read(
    source: &[String],
    countries: &BTreeSet<CountryCode>,
    known: &Versions,
    most_ranges: usize,
) -> Result<Option<FetchedTable>, String> {
    let mut left = most_ranges;
    let parts = sources::parts(source, countries)?;
    if parts.is_empty() {
        return Err("the source does not name a file".to_owned());
    }
    let same_parts = parts
        .iter()
        .map(|part| &part.address)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .eq(known.keys());
    let mut got: Vec<(Part, Option<Got>)> = Vec::new();
    for part in parts {
        let version = known.get(&part.address).filter(|_| same_parts);
        let fetched = fetch_part(&part, version, &mut left)?;
        got.push((part, fetched));
    }
    if got.iter().all(|(_, fetched)| fetched.is_none()) {
        return Ok(None);
    }
    let mut builder = Builder::new();
    let mut table = FetchedTable::default();
    for (part, fetched) in got {
        // One part is new: all of them are needed for a new table.
        let fetched = match fetched {
            Some(fetched) => Some(fetched),
            None => fetch_part(&part, None, &mut left)?,
        };
        let (content, version) = fetched.ok_or("a source says \"nothing new\" of nothing")?;
        note_refused(&mut table.notes, &part, &content);
        for (range, code) in content.build().iter() {
            builder.add(range, code);
        }
        table.versions.insert(part.address, version);
    }
    table.table = Arc::new(builder.build());
    let by_country = source.iter().all(|source| sources::is_by_country(source));
    table.tells_of = by_country.then(|| countries.clone());
    Ok(Some(table))
}

type Got = (Countries, Version);

/// Reads a part of so many ranges as are left of those that the table may have.
fn fetch_part(
    part: &Part,
    known: Option<&Version>,
    left: &mut usize,
) -> Result<Option<Got>, String> {
    let place = Source { address: part.address.clone(), ..Source::default() };
    let sink = CountrySink::new(part.layout(), *left);
    let known = known.map(of_core).unwrap_or_default();
    match fetch::fetch(&place, &known, &Limits::default(), sink) {
        Ok(fetch::Fetched::NotModified) => Ok(None),
        Ok(fetch::Fetched::New(new)) => {
            *left = left.saturating_sub(new.content.len());
            let fetch::Version { etag, last_modified } = new.version;
            Ok(Some((new.content, Version { etag, last_modified })))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn of_core(version: &Version) -> fetch::Version {
    fetch::Version { etag: version.etag.clone(), last_modified: version.last_modified.clone() }
}

fn note_refused(notes: &mut Vec<String>, part: &Part, content: &Countries) {
    if let Some(sample) = content.tally.samples.first()
        && notes.len() < MAX_NOTES
    {
        notes.push(format!(
            "{} lines of {} could not be read, e.g. \"{}\"",
            content.tally.refused, part.address, sample.text
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with a file for each country cannot fill the memory by their number.
    #[test]
    fn the_usual_table_or_the_one_that_was_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (tor, own) = (path("tor"), path("own"));
        let found = || with_table(&[&tor, &own]).to_owned();
        assert_eq!(found(), tor);
        std::fs::create_dir(&tor).unwrap();
        std::fs::write(format!("{tor}/tor-service-defaults-torrc"), "").unwrap();
        assert_eq!(found(), tor);
        std::fs::create_dir(&own).unwrap();
        std::fs::write(format!("{own}/geoip"), "").unwrap();
        assert_eq!(found(), own);
        std::fs::write(format!("{tor}/geoip"), "").unwrap();
        assert_eq!(found(), tor);
    }

    #[test]
    fn all_parts_together_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for (code, network) in [("cn", "192.0.2"), ("de", "203.0.113")] {
            let zone = (0..3).map(|at| format!("{network}.{}/32\n", at * 2));
            std::fs::write(folder.path().join(format!("{code}.zone")), zone.collect::<String>())
                .unwrap();
        }
        let source = [folder.path().join("{cc}.zone").display().to_string()];
        let codes = ["CN", "DE"].iter().map(|code| code.parse().unwrap()).collect();
        let read = |most| read(&source, &codes, &Versions::new(), most);
        assert_eq!(read(6).unwrap().unwrap().table.len(), 6);
        assert!(read(5).unwrap_err().contains("more than"));
    }
}
