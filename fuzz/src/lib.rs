//! What is fuzzed: each function reads hostile bytes and checks what must hold of any result.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run feed_plain` in the project's root runs one of them on a stable
//! compiler. `crates/nightlatch-parse/tests/corpus.rs` runs all of them over the committed corpus,
//! without cargo-fuzz. A finding is kept as a file in its corpus.

use std::net::Ipv6Addr;

use nightlatch_parse::address::{AddrRange, merge};
use nightlatch_parse::country::{self, CountryCode, CountryTable, Layout};
use nightlatch_parse::dns;
use nightlatch_parse::feed::{self, Format, Parsed};
use nightlatch_parse::http::{HttpUrl, parse_date};
use nightlatch_parse::ip_packet::{self, IpPacketError, Transport};
use nightlatch_parse::packet;
use nightlatch_parse::pbx::{self, SipPlace, kamailio};
use nightlatch_parse::tally::Tally;

pub mod asterisk;
mod fail2ban;
pub mod log;
mod sip;
mod spa;

pub use fail2ban::{fail2ban_filter, fail2ban_lines};
pub use sip::{sip_message, sip_values};
pub use spa::{spa_card, spa_message, spa_payload};

/// A fuzz target: its name, which is its corpus's folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 41] = [
    ("address", address),
    ("country_delegated", country_delegated),
    ("country_mmdb", country_mmdb),
    ("country_name", country_name),
    ("country_ranges", country_ranges),
    ("country_zone", country_zone),
    ("dns_addresses", dns_addresses),
    ("dns_naptr", dns_naptr),
    ("dns_ptr", dns_ptr),
    ("dns_srv", dns_srv),
    ("fail2ban_filter", fail2ban_filter),
    ("fail2ban_lines", fail2ban_lines),
    ("feed_auto", feed_auto),
    ("feed_csv", feed_csv),
    ("feed_format", feed_format),
    ("feed_json", feed_json),
    ("feed_plain", feed_plain),
    ("http_date", http_date),
    ("http_url", http_url),
    ("ip_packet", ip_packet),
    ("journal", log::journal),
    ("log_apache", log::apache),
    ("log_asterisk", asterisk::lines),
    ("log_asterisk_ami", asterisk::manager),
    ("log_detect", log::detect),
    ("log_freepbx", log::freepbx),
    ("log_freeswitch", log::freeswitch),
    ("log_fusionpbx", log::fusionpbx),
    ("log_kamailio", log::kamailio),
    ("log_nginx", log::nginx),
    ("log_opensips", log::opensips),
    ("log_pattern", log::pattern),
    ("log_sshd", log::sshd),
    ("packet_udp", packet_udp),
    ("pbx_asterisk", pbx_asterisk),
    ("pbx_kamailio", pbx_kamailio),
    ("sip_message", sip_message),
    ("sip_values", sip_values),
    ("spa_card", spa_card),
    ("spa_message", spa_message),
    ("spa_payload", spa_payload),
];

/// The limit of entries: small, so that it is met.
const LIMIT: usize = 200;

pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(range) = text.parse::<AddrRange>() {
        assert!(range.first() <= range.last());
        assert_eq!(range.to_string().parse(), Ok(range));
    }
}

pub fn ip_packet(data: &[u8]) {
    let found = match ip_packet::read(data) {
        Ok(found) => found,
        // More bytes change nothing about these.
        Err(
            error @ (IpPacketError::NotIp
            | IpPacketError::LaterFragment
            | IpPacketError::TooManyExtensions
            | IpPacketError::OtherProtocol(_)),
        ) => {
            let longer = [data, &[0; 16]].concat();
            assert_eq!(ip_packet::read(&longer), Err(error));
            return;
        }
        Err(error) => return check_shown(&error.to_string()),
    };
    assert_eq!(found.source.is_ipv4(), found.destination.is_ipv4());
    if let Transport::Udp { payload, is_truncated } = found.transport {
        assert!(payload.len() + 28 <= data.len());
        // More bytes only add to a payload that is cut short.
        let longer = [data, &[0; 16]].concat();
        let more = ip_packet::read(&longer).expect("only longer");
        let Transport::Udp { payload: more, .. } = more.transport else { panic!("{more:?}") };
        assert!(more.starts_with(payload) && (is_truncated || more.len() == payload.len()));
    }
    // A packet that is cut short by one byte has the same ends, unless its header is cut.
    let shorter = data.split_last().map_or(data, |(_, shorter)| shorter);
    if let Ok(shorter) = ip_packet::read(shorter) {
        assert_eq!((shorter.source, shorter.destination), (found.source, found.destination));
        assert_eq!(shorter.transport.protocol(), found.transport.protocol());
    }
    if let Some(datagram) = packet::udp(data) {
        assert_eq!((datagram.source, datagram.destination), (found.source, found.destination));
    }
}

pub fn packet_udp(data: &[u8]) {
    if let Some(datagram) = packet::udp(data) {
        assert_eq!(datagram.source.is_ipv4(), datagram.destination.is_ipv4());
        // The headers alone must be enough.
        let ports = [datagram.source.port(), datagram.destination.port()].map(u16::to_be_bytes);
        assert!(data.windows(4).any(|window| window == ports.as_flattened()));
    }
}

pub fn feed_plain(data: &[u8]) {
    check_feed(data, &Format::Plain);
}

pub fn feed_auto(data: &[u8]) {
    check_feed(data, &Format::Auto);
}

pub fn feed_csv(data: &[u8]) {
    for format in ["csv", "csv:2", "csv:ip", "csv:ip:tab"] {
        check_feed(data, &format_of(format));
    }
}

pub fn feed_json(data: &[u8]) {
    for format in ["json", "json:[].ip", "json:a[],*.b[].c,d[][],[]"] {
        check_feed(data, &format_of(format));
    }
}

/// The first line is a format, the rest a list.
pub fn feed_format(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (name, list) = data.split_at(end.unwrap_or(data.len()));
    let Ok(Ok(format)) = std::str::from_utf8(name).map(str::parse::<Format>) else {
        return;
    };
    assert_eq!(format.to_string().parse(), Ok(format.clone()), "{format}");
    check_feed(list, &format);
}

pub fn country_ranges(data: &[u8]) {
    check_countries(data, Layout::Ranges);
    check_countries(data, Layout::Auto);
}

pub fn country_delegated(data: &[u8]) {
    check_countries(data, Layout::Delegated);
}

pub fn country_zone(data: &[u8]) {
    check_countries(data, Layout::Zone(CountryCode::new(*b"DE").expect("a code")));
}

pub fn country_mmdb(data: &[u8]) {
    if let Ok(countries) = country::mmdb::read(data, LIMIT) {
        assert!(countries.builder.len() <= LIMIT);
        check_table(&countries.build());
    }
    if let Ok(systems) = country::mmdb::Systems::open(data.to_vec()) {
        // Whatever the database, its first bytes are an address too.
        let bits = data.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        for address in [Ipv6Addr::from_bits(bits), Ipv6Addr::from_bits(bits >> 96)] {
            if let Some(system) = systems.of(address.into()) {
                assert!(system.range.contains(address.to_canonical()));
            }
        }
    }
}

pub fn country_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match country::find(&text) {
        Ok(code) => assert!(country::name(code).is_some()),
        Err(error) => {
            assert!(error.near.len() <= 5);
            check_shown(&error.to_string());
        }
    }
}

pub fn http_date(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(time) = parse_date(text)
    {
        assert!(time <= 253_402_300_800, "{text}");
    }
}

/// The first line is an address, the second where a redirect leads.
pub fn http_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, location) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(url) = HttpUrl::parse(first) else {
        return;
    };
    let check = |url: &HttpUrl| {
        assert!(url.full().starts_with(url.origin()));
        assert!(url.full().bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!url.origin().contains('@'));
        assert_eq!(url.is_safe(), url.full().starts_with("https://"));
        assert_eq!(HttpUrl::parse(url.full()).as_ref(), Ok(url));
    };
    check(&url);
    if let Ok(target) = url.redirected(location) {
        check(&target);
        assert!(target.is_safe() || !url.is_safe());
    }
}

/// The first line is the address whose name was queried, the rest is a packet.
pub fn dns_ptr(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (address, packet) = data.split_at(end);
    let packet = packet.get(1..).unwrap_or_default();
    let Ok(address) = String::from_utf8_lossy(address).parse() else {
        return;
    };
    let id = packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let question = dns::ptr::ptr_question(id, address);
    assert!(question.len() < 300);
    // A query is not a response.
    assert_eq!(dns::ptr::ptr_answer(&question, id, address), Err(dns::DnsError::NotOurs));
    if let Ok(names) = dns::ptr::ptr_answer(packet, id, address) {
        assert!(names.len() <= 64);
        for name in &names {
            assert!(dns::srv_question(id, name).is_some(), "{name}");
        }
    }
}

/// The first line is the name that was queried, the rest is a packet; all of it is a file, too.
pub fn dns_addresses(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (name, packet) = data.split_at(end);
    let packet = packet.get(1..).unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let id = packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    for kind in [dns::Kind::A, dns::Kind::Aaaa] {
        if let Some(question) = dns::address_question(id, &name, kind) {
            assert!(question.len() < 300);
            // A query is not a response.
            let read = dns::address_answer(&question, id, &name, kind);
            assert_eq!(read, Err(dns::DnsError::NotOurs));
        }
        if let Ok(answer) = dns::address_answer(packet, id, &name, kind) {
            assert!(answer.addresses.len() <= dns::MAX_RECORDS_READ);
            assert!(answer.addresses.is_sorted());
            assert_eq!(answer.lifetime.is_some(), !answer.addresses.is_empty());
            let is_a = kind == dns::Kind::A;
            assert!(answer.addresses.iter().all(|address| address.is_ipv4() == is_a));
        }
    }
    let text = String::from_utf8_lossy(data);
    let found = dns::resolv_conf(&text);
    assert!(found.servers.len() <= 3 && found.domains.len() <= 6);
    assert!(dns::hosts(&text).values().all(|addresses| !addresses.is_empty()));
}

/// The first line is the domain that was queried, the rest is a packet.
pub fn dns_naptr(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (domain, packet) = data.split_at(end);
    let packet = packet.get(1..).unwrap_or_default();
    let domain = String::from_utf8_lossy(domain);
    let id = packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    if let Some(question) = dns::naptr_question(id, &domain) {
        assert!(question.len() < 300);
        // A query is not a response.
        assert_eq!(dns::naptr_answer(&question, id, &domain), Err(dns::DnsError::NotOurs));
    }
    if let Ok(answer) = dns::naptr_answer(packet, id, &domain) {
        assert!(answer.names.len() <= dns::MAX_SERVICES);
        assert!(answer.lifetime.is_none() || !answer.names.is_empty());
        for name in &answer.names {
            assert!(dns::srv_question(id, name).is_some(), "{name}");
        }
    }
}

/// The first line is the name that was queried, the rest is a packet.
pub fn dns_srv(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (name, packet) = data.split_at(end);
    let packet = packet.get(1..).unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let id = packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    if let Some(question) = dns::srv_question(id, &name) {
        assert!(question.len() < 300);
        // A query is not a response.
        assert_eq!(dns::srv_answer(&question, id, &name), Err(dns::DnsError::NotOurs));
    }
    if let Ok(answer) = dns::srv_answer(packet, id, &name) {
        assert!(answer.servers.len() <= 64);
        for server in &answer.servers {
            assert!(dns::srv_question(id, &server.target).is_some(), "{}", server.target);
        }
    }
    assert!(dns::resolvers(&String::from_utf8_lossy(data)).len() <= 3);
}

/// Any output of Asterisk, for each reader.
pub fn pbx_asterisk(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    for registration in pbx::registrations(&text) {
        check_name(&registration.name);
    }
    for aor in pbx::aors(&text) {
        aor.contacts.iter().for_each(|contact| check_name(&contact.aor));
    }
    for contact in pbx::registrar(&text) {
        check_name(&contact.aor);
        check_place(SipPlace::parse(&contact.uri));
        check_place(pbx::first_route(&contact.path));
    }
    for identify in pbx::identifies(&text) {
        check_name(&identify.endpoint);
        assert!(!identify.ranges.is_empty());
    }
    assert!(pbx::channels(&text).len() <= lines);
    for peers in [pbx::sip_peers(&text), pbx::iax_peers(&text)] {
        assert!(peers.len() < lines.max(1) && peers.iter().all(|peer| peer.port != 0));
    }
    for registry in [pbx::sip_registry(&text), pbx::iax_registry(&text)] {
        registry.iter().for_each(|entry| check_name(&entry.user));
    }
    pbx::channel_count(&text);
    assert!(pbx::settings(&text, "contact").len() <= lines);
    for line in text.lines() {
        check_place(SipPlace::parse(line));
        check_place(pbx::first_route(line));
        pbx::address(line);
    }
}

/// Any output of Kamailio, for each reader.
pub fn pbx_kamailio(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for registration in kamailio::uac_registrations(&text) {
        check_name(&registration.name);
        check_place(Some(registration.server));
        check_place(registration.proxy);
    }
    let locations = kamailio::locations(&text);
    assert!(locations.len() <= text.lines().count());
    locations.into_iter().for_each(|location| check_place(Some(location.place)));
}

/// Checks that a name is safe to print on a terminal.
fn check_name(name: &str) {
    assert!(name.chars().count() <= 200 && !name.chars().any(char::is_control), "{name:?}");
}

/// Checks that a host is safe to print on a terminal and to use in a DNS query.
fn check_place(place: Option<SipPlace>) {
    let Some(SipPlace { host, port, .. }) = place else {
        return;
    };
    assert!((1..=255).contains(&host.len()) && port != Some(0));
    assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'), "{host}");
}

fn format_of(name: &str) -> Format {
    name.parse().expect("a format")
}

/// A list read whole and in blocks gives the same, in bounds.
fn check_feed(data: &[u8], format: &Format) {
    let whole = feed::parse(data, format, LIMIT);
    // Blocks of sizes that the data itself decides.
    let block = data.first().map_or(1, |byte| usize::from(*byte) + 1);
    let mut reader = feed::Reader::new(format.clone(), LIMIT);
    let pushed = data.chunks(block).try_for_each(|part| reader.push(part));
    let in_blocks = pushed.and_then(|()| reader.finish());
    assert_eq!(whole, in_blocks);
    match whole {
        Ok(Parsed { mut ranges, tally, .. }) => {
            assert!(ranges.len() <= LIMIT);
            check_tally(&tally);
            assert_eq!(tally.lines - tally.refused, ranges.len() as u64);
            let expected = merge(ranges.iter().collect());
            ranges.merge();
            assert_eq!(ranges.iter().collect::<Vec<_>>(), expected);
        }
        Err(error) => check_shown(&error.to_string()),
    }
}

fn check_countries(data: &[u8], layout: Layout) {
    let read = |block: usize| {
        let mut reader = country::Reader::new(layout, LIMIT);
        data.chunks(block).try_for_each(|part| reader.push(part))?;
        reader.finish()
    };
    let block = data.first().map_or(1, |byte| usize::from(*byte) + 1);
    match (read(data.len().max(1)), read(block)) {
        (Ok(whole), Ok(in_blocks)) => {
            check_tally(&whole.tally);
            assert_eq!(whole.tally, in_blocks.tally);
            let added = whole.builder.len();
            assert!(added <= LIMIT);
            let table = whole.build();
            assert!(table.len() <= added * 2);
            assert_eq!(table, in_blocks.build());
            check_table(&table);
        }
        (Err(whole), Err(in_blocks)) => {
            assert_eq!(whole, in_blocks);
            check_shown(&whole.to_string());
        }
        (whole, in_blocks) => panic!("{whole:?} is not {in_blocks:?}"),
    }
}

/// Ranges are sorted and disjoint, and each is found by its ends.
fn check_table(table: &CountryTable) {
    let mut previous: Option<AddrRange> = None;
    for (range, code) in table.iter() {
        let sorted = previous.is_none_or(|previous| {
            previous.family() != range.family() || previous.last() < range.first()
        });
        assert!(sorted, "{previous:?} {range}");
        previous = Some(range);
        for address in [range.first_address(), range.last_address()] {
            // What IPv6 has for IPv4 addresses is asked as IPv4.
            if address == address.to_canonical() {
                assert_eq!(table.of(address), Some(code), "{address}");
            }
        }
    }
    assert_eq!(table.iter().count(), table.len());
}

fn check_tally(tally: &Tally) {
    assert!(tally.refused <= tally.lines);
    assert!(tally.samples.len() as u64 <= tally.refused);
    for sample in &tally.samples {
        check_shown(&sample.text);
    }
}

/// A text that is harmless in a log and on a terminal.
fn check_shown(text: &str) {
    assert!(text.len() < 1000, "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
