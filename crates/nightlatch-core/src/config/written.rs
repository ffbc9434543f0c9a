//! What the administrator writes about the firewall: services, ports, limits, media.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::file::{File, Table};
use super::{MediaSources, Mistake, Rules};
use crate::hours::Hours;
use crate::product::Product;
use crate::service::{Ports, ServiceName};

/// A rate limit: so many packets a second, and so many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Packets a second, on average.
    pub packets: u32,
    /// How many may come at once.
    pub burst: u32,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    media: MediaSources,
    #[serde(default)]
    pbx: Pbx,
    #[serde(default)]
    services: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    open: Open,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pbx {
    product: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Open {
    services: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    hours: BTreeMap<Spanned<String>, Spanned<String>>,
    zone: Option<Spanned<String>>,
    per_source: Option<Spanned<Rate>>,
    total: Option<Spanned<Rate>>,
}

impl Table for Rules {
    const NAMES: &'static [&'static str] = &["media", "pbx", "services", "open"];

    fn read(file: &File<'_>) -> Result<Rules, Mistake> {
        let written: Written = file.parsed()?;
        let product = written.pbx.product.map(|product| file.value::<Product>(&product));
        let product = product.transpose()?;
        let mut rules = Rules { product, media: written.media, ..Rules::default() };
        for (name, ports) in &written.services {
            let ports = ports.iter().map(|ports| file.value::<Ports>(ports));
            rules.services.insert(file.value(name)?, ports.collect::<Result<_, _>>()?);
        }
        if let Some(services) = &written.open.services {
            rules.open = known_services(file, &rules, services)?;
        }
        rules.open_hours = open_hours(file, &rules, &written.open)?;
        if let Some(written) = &written.open.per_source {
            rules.per_source = rate(file, written)?;
        }
        if let Some(written) = &written.open.total {
            rules.total = rate(file, written)?;
        }
        Ok(rules)
    }
}

/// Services must exist for at least one product, or be defined in this file: the product may
/// only be found out later.
fn known_services(
    file: &File<'_>,
    rules: &Rules,
    written: &[Spanned<String>],
) -> Result<BTreeSet<ServiceName>, Mistake> {
    let mut known: BTreeSet<ServiceName> = rules.services.keys().cloned().collect();
    let products = rules.product.map_or(Product::ALL.to_vec(), |product| vec![product]);
    known.extend(products.into_iter().flat_map(|product| product.catalogue().0.into_keys()));
    let mut services = BTreeSet::new();
    for name in written {
        let service: ServiceName = file.value(name)?;
        if !known.contains(&service) {
            let known: Vec<&str> = known.iter().map(ServiceName::as_str).collect();
            return Err(file.mistake(
                name.span(),
                format!(
                    "unknown service \"{service}\": define it under [services], or use one of {}",
                    known.join(", ")
                ),
            ));
        }
        services.insert(service);
    }
    Ok(services)
}

/// The hours of open services.
fn open_hours(
    file: &File<'_>,
    rules: &Rules,
    open: &Open,
) -> Result<BTreeMap<ServiceName, Hours>, Mistake> {
    let zone = open.zone.as_ref().map_or("UTC", |zone| zone.get_ref());
    if let Some(written) = &open.zone {
        Hours::parse("00:00-24:00", zone)
            .map_err(|error| file.mistake(written.span(), error.to_string()))?;
    }
    let mut hours = BTreeMap::new();
    for (name, times) in &open.hours {
        let service: ServiceName = file.value(name)?;
        if !rules.open.contains(&service) {
            let what = format!(
                "\"{service}\" is not open to strangers: add it to services under [open], or remove its hours"
            );
            return Err(file.mistake(name.span(), what));
        }
        let parsed = Hours::parse(times.get_ref(), zone);
        let parsed = parsed.map_err(|error| file.mistake(times.span(), error.to_string()))?;
        hours.insert(service, parsed);
    }
    Ok(hours)
}

fn rate(file: &File<'_>, rate: &Spanned<Rate>) -> Result<Rate, Mistake> {
    let Rate { packets, burst } = *rate.get_ref();
    if (1..=1_000_000).contains(&packets) && (1..=1_000_000).contains(&burst) {
        return Ok(Rate { packets, burst });
    }
    let what = "a rate needs packets (a second) and burst, each from 1 to 1000000";
    Err(file.mistake(rate.span(), what))
}
