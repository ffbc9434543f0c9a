//! Lists over http and https.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::http::{HttpUrl, parse_date};
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error, Timeout};

use super::secret::{Cleaner, Secret};
use super::{FetchError, Fetched, Limits, New, PLACEHOLDER, Phase, Sink, Source, Version, body};
use crate::shell::clock::Stopwatch;

/// No entity tag or time of a server is kept that is longer.
const MAX_VERSION_LEN: usize = 512;
/// A time-out of zero would mean something else.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
/// The longest file of authorities, in bytes.
const MAX_AUTHORITY_LEN: u64 = 1 << 20;

/// Fetches a list into `sink`, unless it is the version at hand.
pub(super) fn fetch<S: Sink>(
    source: &Source,
    url: HttpUrl,
    key: Option<&Secret>,
    known: &Version,
    limits: &Limits,
    sink: S,
    cleaner: &Cleaner,
) -> Result<Fetched<S::Output>, FetchError> {
    let address = source.address.as_str();
    let agent = agent(source.authority.as_deref(), limits)?;
    let own_headers = own_headers(source, key)?;
    let response = follow(&agent, address, url, &own_headers, known, limits)?;
    let is_known = known.etag.is_some() || known.last_modified.is_some();
    match response.status().as_u16() {
        200 | 203 => {}
        304 if is_known => return Ok(Fetched::NotModified),
        status => {
            let wait = text(response.headers(), &header::RETRY_AFTER);
            return Err(FetchError::Status {
                address: address.to_owned(),
                status,
                retry_after: wait.and_then(|wait| wait.trim().parse().ok()),
            });
        }
    }
    let is_packed = is_packed(response.headers(), address)?;
    let version = Version {
        etag: text(response.headers(), &header::ETAG),
        last_modified: text(response.headers(), &header::LAST_MODIFIED),
    };
    let wire = response.into_body().into_with_config().limit(u64::MAX).reader();
    let failed = |error: io::Error| explained(Error::from(error), address, limits);
    let (content, bytes) = body::pump(wire, is_packed, address, limits, sink, cleaner, failed)?;
    Ok(Fetched::New(New {
        content,
        modified: version.last_modified.as_deref().and_then(parse_date),
        version,
        bytes,
    }))
}

/// Asks, and goes where redirects lead.
fn follow(
    agent: &Agent,
    address: &str,
    first: HttpUrl,
    own_headers: &HeaderMap,
    known: &Version,
    limits: &Limits,
) -> Result<Response<Body>, FetchError> {
    let origin = first.origin().to_owned();
    let mut url = first;
    let stopwatch = Stopwatch::start();
    for _ in 0..=limits.redirects {
        let left = limits.whole.saturating_sub(stopwatch.elapsed());
        let mut request = Request::get(url.full());
        if let Some(headers) = request.headers_mut() {
            // What may hold a key goes to the server that it is meant for.
            if url.origin() == origin {
                headers.extend(own_headers.clone());
            }
            let version = [
                (header::IF_NONE_MATCH, &known.etag),
                (header::IF_MODIFIED_SINCE, &known.last_modified),
            ];
            for (name, value) in version {
                let value = value.as_deref().map(HeaderValue::from_str);
                if let Some(Ok(value)) = value {
                    headers.insert(name, value);
                }
            }
        }
        let request = request.body(()).map_err(|_| FetchError::Address {
            address: address.to_owned(),
            reason: "invalid URL",
        })?;
        let request =
            agent.configure_request(request).timeout_global(Some(left.max(MIN_INTERVAL))).build();
        let response = agent.run(request).map_err(|error| explained(error, address, limits))?;
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let to = text(response.headers(), &header::LOCATION).unwrap_or_default();
        url = url.redirected(&to).map_err(|reason| FetchError::Redirect {
            address: address.to_owned(),
            to: to.chars().take(200).collect(),
            reason,
        })?;
    }
    Err(FetchError::Redirects { address: address.to_owned(), most: limits.redirects })
}

fn agent(authority: Option<&Path>, limits: &Limits) -> Result<Agent, FetchError> {
    let roots = match authority {
        Some(path) => RootCerts::Specific(Arc::new(certificates(path)?)),
        None => RootCerts::WebPki,
    };
    let tls = TlsConfig::builder().root_certs(roots).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("nightlatch/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("gzip")
        // Each question on a new connection: one kept open may be half gone.
        .max_idle_connections(0)
        .timeout_connect(Some(limits.connect))
        .timeout_resolve(Some(limits.connect))
        .timeout_per_read(Some(limits.stalled))
        .build();
    Ok(config.new_agent())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, FetchError> {
    let wrong = |reason: String| FetchError::Authority { path: path.to_owned(), reason };
    let unreadable = |error: io::Error| wrong(error.to_string());
    let facts = path.metadata().map_err(unreadable)?;
    if !facts.is_file() || facts.len() > MAX_AUTHORITY_LEN {
        return Err(wrong("not a regular file, or too large".to_owned()));
    }
    let pem = std::fs::read(path).map_err(unreadable)?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(wrong("invalid PEM".to_owned())),
        }
    }
    if found.is_empty() {
        return Err(wrong("no certificate in PEM format".to_owned()));
    }
    Ok(found)
}

/// The source's own headers with the key in them.
fn own_headers(source: &Source, key: Option<&Secret>) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &source.headers {
        let wrong = |reason: &'static str| FetchError::Header {
            address: source.address.clone(),
            name: name.clone(),
            reason,
        };
        let filled = match key {
            Some(key) => key.fill(value),
            None if value.contains(PLACEHOLDER) => {
                return Err(wrong("it contains ${key}, but no key file was given"));
            }
            None => value.clone(),
        };
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong("its name contains characters that are not valid in a header"))?;
        let mut filled = HeaderValue::from_str(&filled)
            .map_err(|_| wrong("its value contains characters that are not valid in a header"))?;
        filled.set_sensitive(true);
        headers.append(name, filled);
    }
    Ok(headers)
}

fn is_packed(headers: &HeaderMap, address: &str) -> Result<bool, FetchError> {
    let encoding = text(headers, &header::CONTENT_ENCODING).unwrap_or_default();
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(FetchError::Encoding {
            address: address.to_owned(),
            encoding: encoding.chars().take(60).collect(),
        }),
    }
}

/// A header's value, where it is text of a sane length.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    let longest = if *name == header::LOCATION { 4096 } else { MAX_VERSION_LEN };
    (value.len() <= longest).then(|| value.to_owned())
}

fn explained(error: Error, address: &str, limits: &Limits) -> FetchError {
    let address = address.to_owned();
    let too_slow = |phase: Phase, limit: Duration| FetchError::TooSlow {
        address: address.clone(),
        phase,
        limit,
    };
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            too_slow(Phase::Connect, limits.connect)
        }
        Error::Timeout(Timeout::PerRead | Timeout::PerWrite) => {
            too_slow(Phase::Stalled, limits.stalled)
        }
        Error::Timeout(_) => too_slow(Phase::Whole, limits.whole),
        Error::HostNotFound => {
            FetchError::Connect { address, reason: "cannot resolve the host name".to_owned() }
        }
        // What TLS has to say comes as invalid data.
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => match error.to_string() {
            reason if reason.contains("InvalidContentType") => FetchError::Protocol {
                address,
                reason: "the server does not speak TLS; is the address http://?".to_owned(),
            },
            reason => FetchError::NotTrusted { address, reason },
        },
        Error::Rustls(error) => FetchError::NotTrusted { address, reason: error.to_string() },
        Error::Tls(reason) => FetchError::NotTrusted { address, reason: reason.to_owned() },
        Error::Io(error) => FetchError::Connect { address, reason: error.to_string() },
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => {
            FetchError::Connect {
                address,
                reason: "connection failed; check the proxy, if the environment sets one"
                    .to_owned(),
            }
        }
        error => FetchError::Protocol { address, reason: error.to_string() },
    }
}
