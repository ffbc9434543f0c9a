//! What a host can reach on the server, found out with real packets.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::now;
use crate::packet::{Caught, Listener, Packet, Sender, flags, protocol};
use crate::probes::{self, Attempt, UDP_PORTS};
use crate::report::{Answer, Ports, Probe, Reach, TCP_PORTS};
use crate::sip;
use crate::stage::Host;

/// How long after the last packet an answer may still come. On a stage it takes microseconds.
const TIMEOUT: Duration = Duration::from_millis(250);
/// Packets sent before the answers are read.
const BURST: usize = 256;
/// What got no answer is tried so often in all.
const ROUNDS: usize = 2;

/// Tries everything from `from` on `target`, by the family of `target`.
///
/// # Errors
///
/// Where raw sockets are not allowed or the host has no route; no answer is no error.
pub fn reach(from: &Host, target: IpAddr) -> io::Result<Reach> {
    let mut scanner = Scanner::in_host(from, target)?;
    let tcp = scanner.tcp_ports()?;
    let udp = scanner.udp_ports(UDP_PORTS)?;
    let probes = scanner.probes(&probes::attempts(from, target.is_ipv6(), target))?;
    let sip = from.run(|| sip_requests(scanner.source, target))??;
    Ok(Reach {
        from: from.name().to_owned(),
        source: scanner.source,
        target,
        tcp,
        udp,
        probes,
        sip,
    })
}

/// Scans one address from one host.
#[derive(Debug)]
pub struct Scanner {
    sender: Sender,
    listener: Listener,
    source: IpAddr,
    target: IpAddr,
}

impl Scanner {
    /// A scanner in `from`, which uses the host's first address of the family of `target`.
    ///
    /// # Errors
    ///
    /// Where raw sockets are not allowed.
    pub fn in_host(from: &Host, target: IpAddr) -> io::Result<Scanner> {
        Ok(Scanner {
            sender: Sender::in_host(from)?,
            listener: Listener::in_host(from)?,
            source: if target.is_ipv6() { from.v6() } else { from.v4() },
            target,
        })
    }

    /// A SYN to every TCP port but 0.
    ///
    /// # Errors
    ///
    /// Where packets cannot be sent.
    pub fn tcp_ports(&mut self) -> io::Result<Ports> {
        let source = SocketAddr::new(self.source, 41_000);
        let ports: Vec<u16> = (1..=u16::MAX).collect();
        self.ports(&ports, protocol::TCP, |target| Packet::tcp(source, target, flags::SYN))
    }

    /// A fitting greeting to each of these UDP ports.
    ///
    /// # Errors
    ///
    /// Where packets cannot be sent.
    pub fn udp_ports(&mut self, ports: &[u16]) -> io::Result<Ports> {
        let source = SocketAddr::new(self.source, 41_001);
        self.ports(ports, protocol::UDP, |target| probes::greeting(source, target))
    }

    fn ports(
        &mut self,
        ports: &[u16],
        protocol: u8,
        make: impl Fn(SocketAddr) -> Packet,
    ) -> io::Result<Ports> {
        let mut states = vec![State::Silent; TCP_PORTS + 1];
        for _ in 0..ROUNDS {
            let silent: Vec<u16> =
                ports.iter().copied().filter(|&port| is_silent(&states, port)).collect();
            for burst in silent.chunks(BURST) {
                for &port in burst {
                    self.sender.send(&make(SocketAddr::new(self.target, port)))?;
                }
                while let Some(caught) = self.listener.take()? {
                    self.note(&caught, protocol, &mut states);
                }
            }
            while silent.iter().any(|&port| is_silent(&states, port)) {
                let Some(caught) = self.listener.next(TIMEOUT)? else {
                    break;
                };
                self.note(&caught, protocol, &mut states);
            }
        }
        let count = |wanted| ports.iter().filter(|&&port| state(&states, port) == wanted).count();
        let open = ports.iter().copied().filter(|&port| state(&states, port) == State::Open);
        Ok(Ports {
            tried: ports.len(),
            open: open.collect(),
            refused: count(State::Refused),
            silent: count(State::Silent),
        })
    }

    /// Writes down what `caught` says about a port.
    fn note(&self, caught: &Caught, protocol: u8, states: &mut [State]) {
        if caught.source != self.target {
            return;
        }
        let (port, found) = if let Some(quoted) = caught.quoted() {
            if quoted.protocol != protocol {
                return;
            }
            (quoted.target(), State::Refused)
        } else {
            if caught.protocol != protocol {
                return;
            }
            let reset = caught.tcp_flags().is_some_and(|flags| flags & flags::RST != 0);
            (caught.origin(), if reset { State::Refused } else { State::Open })
        };
        let place = port.map(|port| usize::from(port.port()));
        if let Some(state) = place.and_then(|place| states.get_mut(place)) {
            *state = found;
        }
    }

    /// Single packets, all at once; the answers are sorted out by what they answer.
    fn probes(&mut self, attempts: &[Attempt]) -> io::Result<Vec<Probe>> {
        let mut answers = vec![Answer::Silence; attempts.len()];
        for _ in 0..ROUNDS {
            for (attempt, answer) in attempts.iter().zip(&answers) {
                if *answer == Answer::Silence {
                    for packet in &attempt.packets {
                        self.sender.send_bytes(self.target, packet)?;
                    }
                }
            }
            while answers.contains(&Answer::Silence) {
                let Some(caught) = self.listener.next(TIMEOUT)? else {
                    break;
                };
                if caught.source != self.target {
                    continue;
                }
                for (attempt, answer) in attempts.iter().zip(&mut answers) {
                    if *answer == Answer::Silence && attempt.is_answered_by(&caught) {
                        *answer = answer_of(&caught);
                    }
                }
            }
        }
        let names = attempts.iter().map(|attempt| attempt.name.clone());
        Ok(names.zip(answers).map(|(name, answer)| Probe { name, answer }).collect())
    }
}

/// SIP requests by ordinary UDP sockets, as a telephone sends them. Runs inside the host.
fn sip_requests(source: IpAddr, target: IpAddr) -> io::Result<Vec<Probe>> {
    let target = SocketAddr::new(target, 5060);
    let mut waiting = Vec::new();
    for method in ["OPTIONS", "REGISTER"] {
        let socket = UdpSocket::bind(SocketAddr::new(source, 0))?;
        let request = sip::request(method, socket.local_addr()?, target);
        socket.send_to(request.as_bytes(), target)?;
        waiting.push((method, socket));
    }
    let end = now() + TIMEOUT;
    let mut probes = Vec::new();
    for (method, socket) in waiting {
        let left = end.saturating_duration_since(now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 2048];
        let answer = match socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                Answer::Reply(sip::first_line(buffer.get(..length).unwrap_or_default()))
            }
            Err(_) => Answer::Silence,
        };
        probes.push(Probe { name: format!("SIP {method}"), answer });
    }
    Ok(probes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Open,
    Refused,
}

fn state(states: &[State], port: u16) -> State {
    states.get(usize::from(port)).copied().unwrap_or(State::Silent)
}

fn is_silent(states: &[State], port: u16) -> bool {
    state(states, port) == State::Silent
}

fn answer_of(caught: &Caught) -> Answer {
    if let Some(flags) = caught.tcp_flags() {
        return if flags & flags::RST != 0 { Answer::Reset } else { Answer::Accepted };
    }
    match caught.icmp() {
        Some((kind, code)) if caught.quoted().is_some() => Answer::Error(kind, code),
        Some(_) => Answer::Echo,
        None => Answer::Reply(sip::first_line(caught.data())),
    }
}
