//! What a source of the table of countries consists of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nightlatch_parse::country::{CountryCode, Layout};

/// The most files of one folder.
const MAX_FILES: usize = 1000;

/// One file or address of a source, and how to read it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// The path or address.
    pub(super) address: String,
    /// The country of everything in it, where it is that of one country.
    pub(super) country: Option<CountryCode>,
}

impl Part {
    /// A file is known by its name: `cn.zone` and `cn-aggregated.zone` hold China.
    fn named(address: String) -> Part {
        let name = address.rsplit('/').next().unwrap_or_default();
        let country = name.strip_suffix(".zone").and_then(zone_code);
        Part { address, country }
    }

    pub(super) fn layout(&self) -> Layout {
        self.country.map_or(Layout::Auto, Layout::Zone)
    }
}

/// Every part of the sources, in their order; what is added later wins where two say different
/// things. Of a source with `{cc}` those of `countries`.
///
/// # Errors
/// A folder that cannot be read, or holds nothing of use.
pub(super) fn parts(
    sources: &[String],
    countries: &BTreeSet<CountryCode>,
) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for source in sources {
        if let Some(fill) = placeholder(source) {
            parts.extend(
                countries
                    .iter()
                    .map(|country| Part { address: fill(*country), country: Some(*country) }),
            );
        } else if source.starts_with('/') && Path::new(source).is_dir() {
            parts.extend(of_folder(Path::new(source))?);
        } else {
            parts.push(Part::named(source.clone()));
        }
    }
    Ok(parts)
}

/// Whether a source has a file for each country, so that it does not tell of all of them.
pub(super) fn is_by_country(source: &str) -> bool {
    placeholder(source).is_some()
}

/// `{cc}` stands for the code in small letters, `{CC}` for that in capitals.
fn placeholder(source: &str) -> Option<impl Fn(CountryCode) -> String> {
    let has_any = ["{cc}", "{CC}"].iter().any(|mark| source.contains(mark));
    has_any.then(|| {
        let source = source.replace("${cc}", "{cc}").replace("${CC}", "{CC}");
        move |country: CountryCode| {
            let small = country.as_str().to_ascii_lowercase();
            source.replace("{cc}", &small).replace("{CC}", country.as_str())
        }
    })
}

/// The files of Debian's `tor-geoipdb`, zone files, statistics of the registries, databases.
fn of_folder(folder: &Path) -> Result<Vec<Part>, String> {
    let unreadable = |error| format!("the folder {} cannot be read: {error}", folder.display());
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_of_use(name)) {
            names.push(name.to_owned());
        }
        if names.len() > MAX_FILES {
            return Err(format!("the folder {} has too many files", folder.display()));
        }
    }
    if names.is_empty() {
        return Err(format!(
            "the folder {} has no GeoIP table (geoip, geoip6, CC.zone, delegated-*, *.mmdb): install the package tor-geoipdb, or name another source in the configuration",
            folder.display()
        ));
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| Part::named(format!("{}/{name}", folder.display()))).collect())
}

fn is_of_use(name: &str) -> bool {
    let zone = || name.strip_suffix(".zone").and_then(zone_code).is_some();
    matches!(name, "geoip" | "geoip6")
        || zone()
        || name.strip_suffix(".mmdb").is_some()
        || name.starts_with("delegated-") && !name.contains('.')
}

/// The country in `cn` or `cn-aggregated`.
fn zone_code(stem: &str) -> Option<CountryCode> {
    let code = stem.strip_suffix("-aggregated").unwrap_or(stem);
    (code.len() == 2).then(|| code.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: &[&str], expected: &[&str]) {
        let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let codes = ["CN", "DE"].iter().map(|code| code.parse().unwrap()).collect();
        let shown = parts(&sources, &codes).unwrap().into_iter().map(|part| {
            let code = part.country.map(|code| format!(" {code}"));
            part.address + &code.unwrap_or_default()
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn sources_and_their_parts() {
        check(&["/x/geo.mmdb"], &["/x/geo.mmdb"]);
        check(
            &["https://x.example/cn.zone", "/x/de-aggregated.zone"],
            &["https://x.example/cn.zone CN", "/x/de-aggregated.zone DE"],
        );
        check(
            &["https://x.example/{cc}.zone"],
            &["https://x.example/cn.zone CN", "https://x.example/de.zone DE"],
        );
        check(
            &["https://x.example/${cc}?c={CC}"],
            &["https://x.example/cn?c=CN CN", "https://x.example/de?c=DE DE"],
        );
        check(&["/x/zone.zone"], &["/x/zone.zone"]);
    }

    #[test]
    fn folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let error = parts(&[path.to_owned()], &BTreeSet::new()).unwrap_err();
        assert!(error.contains("tor-geoipdb"), "{error}");
        for name in ["geoip6", "geoip", "torrc", "cn.zone", "delegated-ripencc-extended-latest"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let delegated = format!("{path}/delegated-ripencc-extended-latest");
        let (zone, four, six) =
            (format!("{path}/cn.zone CN"), format!("{path}/geoip"), format!("{path}/geoip6"));
        check(&[path], &[&zone, &delegated, &four, &six]);
    }
}
