//! Which telephone software is there, and on which ports.

use std::collections::BTreeMap;

use super::super::{FoundProduct, Pbx, Product, Protocol, RtpRange, SipPort, Socket};
use super::sockets::port_of_endpoint;

/// By what a product is known.
pub struct ProductMarks {
    /// The product.
    pub product: Product,
    /// Files and folders, any of which means it is installed.
    pub files: &'static [&'static str],
    /// The names of its processes; only their beginning where a `*` ends it.
    pub processes: &'static [&'static str],
}

/// All products, the preferred first: what manages another stands before it.
pub const PRODUCTS: &[ProductMarks] = &[
    ProductMarks {
        product: Product::FreePbx,
        files: &["/etc/freepbx.conf", "/etc/amportal.conf"],
        processes: &["asterisk"],
    },
    ProductMarks {
        product: Product::VitalPbx,
        files: &["/etc/vitalpbx", "/usr/share/vitalpbx"],
        processes: &["asterisk"],
    },
    ProductMarks {
        product: Product::ThreeCx,
        files: &[
            "/var/lib/3cxpbx/Bin/3CXPhoneSystem.ini",
            "/var/lib/3cxpbx",
            "/usr/sbin/3CXPhoneSystem",
        ],
        processes: &["3CX*", "3cx*"],
    },
    ProductMarks {
        product: Product::FusionPbx,
        files: &["/etc/fusionpbx", "/usr/local/etc/fusionpbx"],
        processes: &["freeswitch"],
    },
    ProductMarks {
        product: Product::Asterisk,
        files: &["/etc/asterisk/asterisk.conf", "/etc/asterisk", "/usr/sbin/asterisk"],
        processes: &["asterisk"],
    },
    ProductMarks {
        product: Product::FreeSwitch,
        files: &["/etc/freeswitch", "/usr/local/freeswitch/conf", "/usr/bin/freeswitch"],
        processes: &["freeswitch"],
    },
    ProductMarks {
        product: Product::Kamailio,
        files: &["/etc/kamailio", "/usr/local/etc/kamailio", "/usr/sbin/kamailio"],
        processes: &["kamailio"],
    },
];

/// Chooses the product.
///
/// `exists` says whether a file is there; `running` holds the names of the processes of this
/// network namespace. A product that runs goes before one that does not; among those the order
/// of [`PRODUCTS`] decides.
pub fn find_pbx(exists: impl Fn(&str) -> bool, running: &[String]) -> Pbx {
    let mut found: Vec<FoundProduct> = Vec::new();
    for marks in PRODUCTS {
        let mut evidence: Vec<String> =
            marks.files.iter().filter(|file| exists(file)).map(|file| (*file).to_owned()).collect();
        let process =
            running.iter().find(|name| marks.processes.iter().any(|mark| is_process(name, mark)));
        // A product over another has no process of its own: its files must be there.
        let over_another =
            matches!(marks.product, Product::FreePbx | Product::VitalPbx | Product::FusionPbx);
        if evidence.is_empty() && (over_another || process.is_none()) {
            continue;
        }
        evidence.extend(process.map(|name| format!("process {name}")));
        found.push(FoundProduct { product: marks.product, evidence, running: process.is_some() });
    }
    let best = found.iter().find(|product| product.running).or_else(|| found.first());
    Pbx {
        chosen: best.map(|best| best.product),
        reason: reason(best, &found),
        found,
        in_containers: Vec::new(),
    }
}

fn reason(best: Option<&FoundProduct>, found: &[FoundProduct]) -> String {
    let Some(best) = best else {
        return "no known PBX is installed or running".to_owned();
    };
    let state = if best.running { "runs" } else { "is installed but does not run" };
    let mut text = format!("{} {state} ({})", best.product, best.evidence.join(", "));
    let others: Vec<String> = found
        .iter()
        .filter(|other| other.product != best.product)
        .map(|other| other.product.to_string())
        .collect();
    if !others.is_empty() {
        text.push_str("; also there: ");
        text.push_str(&others.join(", "));
    }
    text
}

/// Reads the media ports of Asterisk's `rtp.conf` (and the files `FreePBX` adds to it), in their
/// order: the last word wins. Each file comes with its name for the message.
pub fn asterisk_rtp(files: &[(String, String)]) -> Option<RtpRange> {
    let (mut first, mut last, mut source) = (None, None, None);
    for (name, text) in files {
        for (key, value) in text.lines().filter_map(asterisk_setting) {
            let slot = match key.as_str() {
                "rtpstart" => &mut first,
                "rtpend" => &mut last,
                _ => continue,
            };
            if let Ok(port) = value.parse::<u16>() {
                *slot = Some(port);
                source = Some(name.clone());
            }
        }
    }
    range(first, last, source)
}

/// Reads `switch.conf.xml` of `FreeSWITCH`; what stands in comments does not count.
pub fn freeswitch_rtp(name: &str, xml: &str) -> Option<RtpRange> {
    let xml = without_comments(xml);
    let param = |key: &str| xml_params(&xml).find(|(name, _)| *name == key)?.1.parse().ok();
    range(param("rtp-start-port"), param("rtp-end-port"), Some(name.to_owned()))
}

/// Reads `port-min` and `port-max` of `rtpengine.conf`.
pub fn rtpengine_rtp(name: &str, text: &str) -> Option<RtpRange> {
    let (mut first, mut last) = (None, None);
    for (key, value) in text.lines().filter_map(asterisk_setting) {
        match key.as_str() {
            "port-min" => first = value.parse().ok(),
            "port-max" => last = value.parse().ok(),
            _ => {}
        }
    }
    range(first, last, Some(name.to_owned()))
}

fn range(first: Option<u16>, last: Option<u16>, source: Option<String>) -> Option<RtpRange> {
    let (first, last, source) = (first?, last?, source?);
    (first <= last && first > 0).then_some(RtpRange { first, last, source })
}

/// The SIP ports of Asterisk's `pjsip.conf` and `sip.conf` (and of the files included), each with
/// whether it speaks TLS.
pub fn asterisk_sip(text: &str) -> Vec<(u16, bool)> {
    let mut ports = Vec::new();
    let (mut port, mut tls) = (None, false);
    for line in text.lines() {
        if line.trim_start().starts_with('[') {
            ports.extend(port.take().map(|port| (port, tls)));
            tls = false;
        }
        let Some((key, value)) = asterisk_setting(line) else {
            continue;
        };
        match key.as_str() {
            "bind" => port = Some(port_of_endpoint(&value).unwrap_or(5060)),
            "protocol" => tls = matches!(value.as_str(), "tls" | "wss"),
            "bindport" => ports.extend(value.parse().ok().map(|port| (port, false))),
            "udpbindaddr" | "tcpbindaddr" | "bindaddr" => {
                ports.extend(port_of_endpoint(&value).map(|port| (port, false)));
            }
            "tlsbindaddr" => ports.push((port_of_endpoint(&value).unwrap_or(5061), true)),
            _ => {}
        }
    }
    ports.extend(port.map(|port| (port, tls)));
    ports
}

/// The SIP ports of `FreeSWITCH`'s `vars.xml`.
pub fn freeswitch_sip(xml: &str) -> Vec<(u16, bool)> {
    let xml = without_comments(xml);
    xml.split("data=\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"')?.0.split_once('='))
        .filter(|(key, _)| key.ends_with("_sip_port") || key.ends_with("_tls_port"))
        .filter_map(|(key, value)| Some((value.parse().ok()?, key.ends_with("_tls_port"))))
        .collect()
}

/// SIP ports that hold for every product, besides what is configured.
fn usually_sip(port: u16) -> Option<bool> {
    match port {
        5061 | 5081 | 5161 => Some(true),
        5060..=5091 | 5160 => Some(false),
        _ => None,
    }
}

/// The SIP ports on which a running PBX really listens: its sockets, held against the configured
/// and the usual ports. Sockets of the machine to itself are left out.
pub fn sip_ports(sockets: &[Socket], configured: &[(u16, bool)]) -> Vec<SipPort> {
    let configured: BTreeMap<u16, bool> = configured.iter().copied().collect();
    let mut ports: Vec<SipPort> = sockets
        .iter()
        .filter(|socket| !socket.only_loopback && is_pbx(socket.program.as_deref()))
        .filter_map(|socket| {
            let known = configured.get(&socket.port).copied();
            let tls = known.or_else(|| usually_sip(socket.port))?;
            Some(SipPort {
                protocol: socket.protocol,
                port: socket.port,
                tls: tls && socket.protocol == Protocol::Tcp,
            })
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether a program's name is a PBX's.
pub fn is_pbx(program: Option<&str>) -> bool {
    program.is_some_and(|name| {
        PRODUCTS.iter().flat_map(|marks| marks.processes).any(|mark| is_process(name, mark))
    })
}

fn is_process(name: &str, mark: &str) -> bool {
    match mark.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == mark,
    }
}

/// One `key = value` or `key => value` line of Asterisk's configuration, without its comment.
fn asterisk_setting(line: &str) -> Option<(String, String)> {
    let line = line.split_once(';').map_or(line, |(before, _)| before);
    let (key, value) = line.split_once('=')?;
    let value = value.strip_prefix('>').unwrap_or(value).trim();
    let key = key.trim();
    (!key.starts_with('#')).then(|| (key.to_ascii_lowercase(), value.to_owned()))
}

/// The text without `<!-- -->`. Linear.
fn without_comments(xml: &str) -> String {
    let mut kept = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some((before, after)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// The `name` and `value` of every `<param>`.
fn xml_params(xml: &str) -> impl Iterator<Item = (&str, &str)> {
    xml.split("<param ").skip(1).filter_map(|rest| {
        let tag = rest.split_once('>')?.0;
        let attribute = |key: &str| tag.split_once(key)?.1.split_once('"').map(|pair| pair.0);
        Some((attribute("name=\"")?, attribute("value=\"")?))
    })
}
