//! The configuration as written, and the checks that make [`Rules`] of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{MediaSources, Mistake, Rules};
use crate::product::Product;
use crate::service::{Ports, ServiceName};

/// A rate limit: so many packets a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Packets a second, on average.
    pub packets: u32,
    /// How many may come at once.
    pub burst: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    media: MediaSources,
    #[serde(default)]
    pbx: Pbx,
    #[serde(default)]
    services: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    open: Open,
    #[serde(default)]
    countries: Countries,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Countries {
    source: Option<Spanned<OneOrMany>>,
}

/// `"one"` or `["one", "another"]`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
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
    per_source: Option<Spanned<Rate>>,
    total: Option<Spanned<Rate>>,
}

pub(super) fn read(text: &str) -> Result<Rules, Mistake> {
    let written: Written = toml::from_str(text).map_err(|error| {
        Mistake::new(text, error.span().unwrap_or(0..0), first_line(error.message()))
    })?;
    let at = Place { text };
    let product = written.pbx.product.map(|product| at.parse::<Product>(&product)).transpose()?;
    let mut rules = Rules { product, media: written.media, ..Rules::default() };
    for (name, ports) in &written.services {
        let ports = ports.iter().map(|ports| at.parse::<Ports>(ports));
        rules.services.insert(at.parse(name)?, ports.collect::<Result<_, _>>()?);
    }
    if let Some(services) = &written.open.services {
        rules.open = at.known_services(&rules, services)?;
    }
    if let Some(rate) = &written.open.per_source {
        rules.per_source = at.rate(rate)?;
    }
    if let Some(rate) = &written.open.total {
        rules.total = at.rate(rate)?;
    }
    if let Some(source) = written.countries.source {
        rules.countries = at.country_sources(source)?;
    }
    Ok(rules)
}

/// The whole text, to tell where a mistake stands.
struct Place<'a> {
    text: &'a str,
}

impl Place<'_> {
    fn mistake(&self, span: Range<usize>, what: impl ToString) -> Mistake {
        Mistake::new(self.text, span, what.to_string())
    }

    fn parse<T: FromStr<Err: ToString>>(&self, written: &Spanned<String>) -> Result<T, Mistake> {
        written.get_ref().parse().map_err(|error: T::Err| self.mistake(written.span(), error))
    }

    /// Services must exist for at least one product, or be defined in this file: the product may
    /// only be found out later.
    fn known_services(
        &self,
        rules: &Rules,
        written: &[Spanned<String>],
    ) -> Result<BTreeSet<ServiceName>, Mistake> {
        let mut known: BTreeSet<ServiceName> = rules.services.keys().cloned().collect();
        let products = rules.product.map_or(Product::ALL.to_vec(), |product| vec![product]);
        known.extend(products.into_iter().flat_map(|product| product.catalogue().0.into_keys()));
        let mut services = BTreeSet::new();
        for name in written {
            let service: ServiceName = self.parse(name)?;
            if !known.contains(&service) {
                let known: Vec<&str> = known.iter().map(ServiceName::as_str).collect();
                return Err(self.mistake(
                    name.span(),
                    format!(
                        "there is no service \"{service}\": define it under [services], or write one of {}",
                        known.join(", ")
                    ),
                ));
            }
            services.insert(service);
        }
        Ok(services)
    }

    /// Folders, files and addresses, each checked as far as its text goes.
    fn country_sources(&self, written: Spanned<OneOrMany>) -> Result<Vec<String>, Mistake> {
        const MOST: usize = 32;
        let span = written.span();
        let sources = match written.into_inner() {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        };
        if sources.is_empty() || sources.len() > MOST {
            return Err(self.mistake(span, format!("name 1 to {MOST} sources")));
        }
        let known = ["/", "file:///", "http://", "https://"];
        let sound = |source: &String| known.iter().any(|begin| source.starts_with(begin));
        match sources.iter().find(|source| !sound(source)) {
            None => Ok(sources),
            Some(wrong) => Err(self.mistake(
                span,
                format!("\"{wrong}\" is no source: write a path from the root (/usr/share/tor), or what begins with https:// or http://"),
            )),
        }
    }

    fn rate(&self, rate: &Spanned<Rate>) -> Result<Rate, Mistake> {
        let Rate { packets, burst } = *rate.get_ref();
        if (1..=1_000_000).contains(&packets) && (1..=1_000_000).contains(&burst) {
            return Ok(Rate { packets, burst });
        }
        let what = "a rate needs packets (a second) and burst, each from 1 to 1000000";
        Err(self.mistake(rate.span(), what))
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
