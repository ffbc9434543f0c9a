//! How fast host names are followed, and what that costs, measured on hosts in namespaces.
//!
//! `names change [COUNT]`: COUNT names (default 500), each with one address whose answer is valid for 30
//! seconds, get new addresses at the same moment. Devices at the new addresses have been sending REGISTER
//! all the time; what counts is when each is answered.
//!
//! `names load [COUNT] [SECONDS]`: COUNT names (default 5,000) whose answers are valid for 60 seconds;
//! queries a second and the CPU time of the whole daemon, over SECONDS (default 180).
//!
//! The program measured is the `nightlatch` beside this one's folder. `bench/names.sh` builds both. Needs
//! root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

mod answers;
mod place;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nightlatch_lab::stage::{Host, Plan, Stage};

use answers::NameServer;
use place::Place;

const REGISTER: &[u8] = b"REGISTER sip:pbx.example.net SIP/2.0\r\nCSeq: 1 REGISTER\r\n\r\n";
/// How often a device sends.
const PROBES: Duration = Duration::from_millis(50);
/// How many names an account has.
const NAMES_OF_AN_ACCOUNT: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let mut number =
        |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let plan = Plan::standard()
        .with_resolver()
        .change("server", |host| host.with_copy("/etc"))
        .change("traveller", |host| host.owning(&["2001:db8:6666::/48"]));
    let stage = Stage::build(&plan).unwrap();
    match what.as_str() {
        "change" => change(&stage, number(500)),
        "load" => load(&stage, number(5_000), number(180)),
        other => panic!("\"{other}\" is neither change nor load"),
    }
}

/// The address of a name, before and after it changes.
fn address(number: usize, changed: bool) -> Ipv6Addr {
    let number = u16::try_from(number + 1).unwrap();
    Ipv6Addr::new(0x2001, 0xdb8, 0x6666, u16::from(changed), 0, 0, 0, number)
}

fn change(stage: &Stage, count: usize) {
    let name_server = NameServer::on(stage.host("resolver").unwrap(), 30);
    let server = stage.host("server").unwrap();
    let place = Place::up(server);
    // Over 30 seconds, so that the names are asked for at any time.
    let few = count.div_ceil(50);
    place.allow(count, few, Duration::from_millis(600));
    place.wait_for(count);
    echo(server);
    std::thread::sleep(Duration::from_secs(40));
    let devices = devices(stage.host("traveller").unwrap(), server, count);
    let mut answered: Vec<Option<Instant>> = vec![None; count];
    let begin = Instant::now();
    let mut changed = None;
    while answered.iter().any(Option::is_none) {
        assert!(begin.elapsed() < Duration::from_secs(120), "not all names are followed");
        if changed.is_none() && begin.elapsed() > Duration::from_secs(2) {
            assert!(answered.iter().all(Option::is_none), "an address was open before");
            name_server.change();
            changed = Some(Instant::now());
        }
        let round = Instant::now();
        for (device, answered) in devices.iter().zip(&mut answered) {
            if device.recv(&mut [0; 512]).is_ok() {
                answered.get_or_insert_with(Instant::now);
            }
            let _ = device.send(REGISTER);
        }
        std::thread::sleep(PROBES.saturating_sub(round.elapsed()));
    }
    let (changed, told) = (changed.unwrap(), name_server.told());
    let answered: Vec<Instant> = answered.into_iter().flatten().collect();
    println!("\n{count} names, answers valid for 30 s; a probe each {PROBES:?}; in ms:\n");
    println!("| | median | 99 of 100 | worst |\n|---|---:|---:|---:|");
    let all = answered.iter().map(|at| *at - changed).collect();
    row("from the change in DNS until the new address is answered", all);
    let all = answered.iter().enumerate().map(|(at, answer)| answer.duration_since(told[&at]));
    row("from the answer of the name server until the new address is answered", all.collect());
}

fn row(what: &str, mut all: Vec<Duration>) {
    all.sort_unstable();
    let at = |share: usize| all[((all.len() * share).div_ceil(100)).max(1) - 1].as_millis();
    println!("| {what} | {} | {} | {} |", at(50), at(99), at(100));
}

/// A service that sends back what it gets.
fn echo(server: &Host) {
    let address = SocketAddr::new(server.v6(), 5060);
    let socket = server.run(|| UdpSocket::bind(address)).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

/// A socket at each of the new addresses.
fn devices(host: &Host, server: &Host, count: usize) -> Vec<UdpSocket> {
    // The addresses are those of a network that belongs to the host as a whole.
    host.set_kernel("ipv6/ip_nonlocal_bind", "1").unwrap();
    let device = |number| {
        let own = SocketAddr::new(IpAddr::V6(address(number, true)), 5070);
        let socket = host.run(|| UdpSocket::bind(own)).unwrap().unwrap();
        socket.connect(SocketAddr::new(server.v6(), 5060)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    (0..count).map(device).collect()
}

fn load(stage: &Stage, count: usize, seconds: usize) {
    let name_server = NameServer::on(stage.host("resolver").unwrap(), 60);
    let place = Place::up(stage.host("server").unwrap());
    let idle = place.measure(Duration::from_secs(30));
    place.allow(count, NAMES_OF_AN_ACCOUNT, Duration::ZERO);
    place.wait_for(count);
    std::thread::sleep(Duration::from_secs(70));
    let _ = name_server.queries();
    let begin = Instant::now();
    let busy = place.measure(Duration::from_secs(seconds.try_into().unwrap()));
    let queries = name_server.queries();
    let span = begin.elapsed().as_secs_f64();
    let all: usize = queries.values().sum();
    println!("\n{count} names, answers valid for 60 s, over {span:.0} s:\n");
    println!("| | |\n|---|---:|");
    println!(
        "| queries a second, on average | {:.0} |",
        f64::from(u32::try_from(all).unwrap()) / span
    );
    println!("| queries in the busiest second | {} |", queries.values().max().unwrap());
    println!("| CPU time of the whole daemon, share of a core | {busy:.2} % |");
    println!("| the same without names, before | {idle:.2} % |");
    println!("| memory of the daemon (RSS) | {} MB |", place.memory());
}
