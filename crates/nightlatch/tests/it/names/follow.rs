//! Names that change, with real clients.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use nightlatch_lab::stage::Host;
use socket2::{Domain, Socket, Type};

use super::ground::{
    Dnsmasq, FIRST, REFRESH, TIMEOUT, addresses, both, has, of_name, protect, serve, stage,
    write_resolv_conf,
};
use crate::support::wait_until;

/// The port of signalling.
const PORT: u16 = 5060;
const REGISTER: &[u8] = b"REGISTER sip:pbx.example.net SIP/2.0\r\nCSeq: 1 REGISTER\r\n\r\n";

/// A client that sends the same again and again from one port, as a phone does that gets no answer.
struct Device<'a> {
    host: &'a Host,
    from: IpAddr,
    to: IpAddr,
    udp: UdpSocket,
}

impl<'a> Device<'a> {
    fn at(host: &'a Host, from: IpAddr, to: IpAddr) -> Device<'a> {
        let udp = host.run(|| UdpSocket::bind(SocketAddr::new(from, 5070))).unwrap().unwrap();
        udp.connect(SocketAddr::new(to, PORT)).unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Device { host, from, to, udp }
    }

    /// Sends a registration, and tells whether an answer came.
    fn registers(&self) -> bool {
        let mut buffer = [0; 512];
        let _ = self.udp.send(REGISTER);
        self.udp.recv(&mut buffer).is_ok()
    }

    /// Connects, always from the same port.
    fn connects(&self) -> Option<TcpStream> {
        let connect = || {
            let socket =
                Socket::new(Domain::for_address(self.from.with_port(0)), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_linger(Some(Duration::ZERO))?;
            socket.bind(&self.from.with_port(5071).into())?;
            let to = self.to.with_port(PORT).into();
            socket.connect_timeout(&to, Duration::from_millis(400))?;
            Ok::<_, std::io::Error>(TcpStream::from(socket))
        };
        self.host.run(connect).unwrap().ok()
    }
}

trait WithPort {
    fn with_port(self, port: u16) -> SocketAddr;
}

impl WithPort for IpAddr {
    fn with_port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self, port)
    }
}

/// Whether a connection still carries what is written into it.
fn echoes(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut buffer = [0; 64];
    stream.write_all(b"x").is_ok() && stream.read(&mut buffer).is_ok_and(|length| length > 0)
}

fn cut_flows(server: &Host) -> String {
    ["cut4", "cut6"]
        .map(|set| {
            let list = ["list", "set", "inet", "nightlatch", set];
            let output = server.command("nft").args(list).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
        .concat()
}

/// The case of the cases' list: the office gets another address, and the device there was sending
/// already.
#[test]
fn a_changed_name_opens_the_new_address_and_closes_the_old_one() {
    let Some(stage) = stage() else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let traveller = stage.host("traveller").unwrap();
    let record =
        |host: &Host| format!("host-record=office.example.net,{},{}", host.v4(), host.v6());
    let dns = Dnsmasq::on(&stage, &[&record(office)]);
    let (nightlatch, _daemon) = protect(&stage, &format!("nameserver {FIRST}\\n"));
    serve(server, PORT);
    nightlatch.must(&["allow", "office", "office.example.net"]);
    let of = |host: &Host| both(host).map(|address| address.to_string());
    has(&nightlatch, "office.example.net", &of(office).each_ref().map(|it| &**it), TIMEOUT);
    let devices = |host| {
        both(host).into_iter().zip(both(server)).map(move |(from, to)| Device::at(host, from, to))
    };
    let (old, new): (Vec<Device<'_>>, Vec<Device<'_>>) =
        (devices(office).collect(), devices(traveller).collect());
    let streams: Vec<TcpStream> = old.iter().map(|device| device.connects().unwrap()).collect();
    assert!(old.iter().all(Device::registers) && streams.iter().all(echoes));
    for _ in 0..3 {
        assert!(new.iter().all(|it| !it.registers() && it.connects().is_none()));
    }
    drop(dns);
    let _dns = Dnsmasq::on(&stage, &[&record(traveller)]);
    wait_until("the new address is answered", REFRESH, || new.iter().all(Device::registers));
    let connected: Vec<TcpStream> = new.iter().map(|it| it.connects().unwrap()).collect();
    assert!(connected.iter().all(echoes));
    has(&nightlatch, "office.example.net", &of(traveller).each_ref().map(|it| &**it), REFRESH);
    wait_until("the connections of the old address end", TIMEOUT, || {
        old.iter().all(|device| !device.registers()) && !streams.iter().any(echoes)
    });
    assert!(new.iter().all(Device::registers) && connected.iter().all(echoes));
    let cut = cut_flows(server);
    for address in both(traveller) {
        assert!(!cut.contains(&format!("{address} ")), "{address} in {cut}");
    }
    let log = nightlatch.must(&["log"]);
    assert!(log.contains("resolve office"), "{log}");
    assert!(old.iter().all(|device| device.connects().is_none()));
}

#[test]
fn aliases_services_big_answers_and_own_names() {
    let Some(stage) = stage() else {
        return;
    };
    let server = stage.host("server").unwrap();
    let many: Vec<String> = (1..=60).map(|last| format!("192.0.2.{last}")).collect();
    let big: Vec<String> =
        many.iter().map(|it| format!("host-record=big.example.net,{it}")).collect();
    let mut records = vec![
        "host-record=a.example.net,203.0.113.7,2001:db8:7::7",
        "cname=alias.example.net,a.example.net",
        "srv-host=_sip._udp.example.net,a.example.net,5060",
        "srv-host=_sip._udp.example.net,b.example.net,5060",
        "host-record=b.example.net,203.0.113.8",
        "host-record=short.office.example.net,203.0.113.9",
    ];
    records.extend(big.iter().map(String::as_str));
    let _dns = Dnsmasq::on(&stage, &records);
    let script = "echo '203.0.113.10 hosted.example.net' >> /etc/hosts";
    assert!(server.command("sh").args(["-ec", script]).status().unwrap().success());
    let text = format!("search office.example.net\\nnameserver {FIRST}\\n");
    let (nightlatch, _daemon) = protect(&stage, &text);
    let names = "alias.example.net,_sip._udp.example.net,big.example.net,short,hosted.example.net";
    nightlatch.must(&["allow", "all", names]);
    has(&nightlatch, "alias.example.net", &["203.0.113.7", "2001:db8:7::7"], TIMEOUT);
    let servers = ["203.0.113.7", "203.0.113.8", "2001:db8:7::7"];
    has(&nightlatch, "_sip._udp.example.net", &servers, TIMEOUT);
    has(&nightlatch, "short", &["203.0.113.9"], TIMEOUT);
    has(&nightlatch, "hosted.example.net", &["203.0.113.10"], TIMEOUT);
    // Sixty addresses do not fit into a packet: they come over TCP.
    wait_until("the big answer", TIMEOUT, || addresses(&nightlatch, "big.example.net").len() == 60);
    // What is not named with --services is telephony.
    let account = nightlatch.json(&["show", "all"]);
    let services = account["services"].to_string();
    assert!(services.contains("sip") && !services.contains("ssh"), "{account}");
}

/// RFC 3263, section 4: NAPTR, else SRV, else the domain itself.
#[test]
fn servers_of_sip_domains() {
    let Some(stage) = stage() else {
        return;
    };
    let mut records = vec![
        // Only what the NAPTR records lead to counts, each server once.
        "naptr-record=full.example.net,10,1,s,SIPS+D2T,,_sips._tcp.other.example.net".to_owned(),
        "naptr-record=full.example.net,20,1,s,SIP+D2U,,_sip._udp.other.example.net".to_owned(),
        "naptr-record=full.example.net,30,1,s,SIP+D2S,,_sip._sctp.other.example.net".to_owned(),
        "naptr-record=full.example.net,40,1,u,E2U+sip,!^.*$!sip:a@example.net!".to_owned(),
        "srv-host=_sips._tcp.other.example.net,a.example.net,5061".to_owned(),
        "srv-host=_sip._udp.other.example.net,a.example.net,5060".to_owned(),
        "srv-host=_sip._udp.other.example.net,b.example.net,5060".to_owned(),
        "srv-host=_sip._sctp.other.example.net,c.example.net,5060".to_owned(),
        "srv-host=_sip._udp.full.example.net,c.example.net,5060".to_owned(),
        "host-record=full.example.net,203.0.113.10".to_owned(),
        // No NAPTR record that counts.
        "naptr-record=part.example.net,40,1,u,E2U+sip,!^.*$!sip:a@example.net!".to_owned(),
        "srv-host=_sip._tcp.part.example.net,b.example.net,5060".to_owned(),
        "srv-host=_sips._tcp.part.example.net,c.example.net,5061".to_owned(),
        "host-record=part.example.net,203.0.113.10".to_owned(),
        // Neither NAPTR nor SRV.
        "host-record=bare.example.net,203.0.113.10,2001:db8:7::10".to_owned(),
        "host-record=a.example.net,203.0.113.7,2001:db8:7::7".to_owned(),
        "host-record=b.example.net,203.0.113.8".to_owned(),
        "host-record=c.example.net,203.0.113.9".to_owned(),
    ];
    // More names of services than count, which do not fit into one packet.
    for number in 0..40 {
        let service = format!("_sip._udp.n{number}.many.example.net");
        records.push(format!("naptr-record=many.example.net,{number},1,s,SIP+D2U,,{service}"));
        records.push(format!("srv-host={service},h{number}.example.net,5060"));
        records.push(format!("host-record=h{number}.example.net,192.0.2.{}", number + 1));
    }
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let _dns = Dnsmasq::on(&stage, &records);
    let (nightlatch, _daemon) = protect(&stage, &format!("nameserver {FIRST}\\n"));
    let domains = ["full", "part", "bare", "many", "none"];
    let names: Vec<String> = domains.iter().map(|it| format!("_sip.{it}.example.net")).collect();
    nightlatch.must(&["allow", "all", &names.join(",")]);
    let full = ["203.0.113.7", "203.0.113.8", "2001:db8:7::7"];
    has(&nightlatch, "_sip.full.example.net", &full, TIMEOUT);
    has(&nightlatch, "_sip.part.example.net", &["203.0.113.8", "203.0.113.9"], TIMEOUT);
    has(&nightlatch, "_sip.bare.example.net", &["203.0.113.10", "2001:db8:7::10"], TIMEOUT);
    let eight: Vec<String> = (1..=8).map(|last| format!("192.0.2.{last}")).collect();
    let eight: Vec<&str> = eight.iter().map(String::as_str).collect();
    has(&nightlatch, "_sip.many.example.net", &eight, TIMEOUT);
    wait_until("a domain that does not exist", TIMEOUT, || {
        !of_name(&nightlatch, "_sip.none.example.net")["gone"].is_null()
    });
}

#[test]
fn name_servers_that_change_are_followed() {
    let Some(stage) = stage() else {
        return;
    };
    let _dns = Dnsmasq::on(&stage, &["host-record=a.example.net,203.0.113.7"]);
    let (nightlatch, _daemon) = protect(&stage, "nameserver 198.51.100.99\\n");
    nightlatch.must(&["allow", "a", "a.example.net"]);
    wait_until("it fails", TIMEOUT * 2, || {
        !of_name(&nightlatch, "a.example.net")["failing_v4"].is_null()
    });
    let status = nightlatch.must(&["status"]);
    assert!(status.contains("a.example.net: no name server"), "{status}");
    write_resolv_conf(stage.host("server").unwrap(), &format!("nameserver {FIRST}\\n"));
    has(&nightlatch, "a.example.net", &["203.0.113.7"], REFRESH);
}
