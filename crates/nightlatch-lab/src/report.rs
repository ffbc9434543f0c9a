//! What was found, and how it is told.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

/// How many TCP ports there are to try.
pub const TCP_PORTS: usize = 65_535;

/// The whole demo: what each host reached before the server was protected, and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Without a firewall.
    pub before: Vec<Reach>,
    /// Behind Nightlatch.
    pub after: Vec<Reach>,
}

/// What one host reaches on the server by one family of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The name of the host that tried.
    pub from: String,
    /// Its address.
    pub source: IpAddr,
    /// The server's address.
    pub target: IpAddr,
    /// All TCP ports, tried with SYN packets.
    pub tcp: Ports,
    /// The common UDP ports.
    pub udp: Ports,
    /// Single packets of other kinds.
    pub probes: Vec<Probe>,
    /// SIP requests by ordinary sockets.
    pub sip: Vec<Probe>,
}

impl Reach {
    /// Everything that answered, counted. Zero means: there is nothing to be seen.
    pub fn answers(&self) -> usize {
        let single = self.probes.iter().chain(&self.sip);
        let single = single.filter(|probe| probe.answer != Answer::Silence).count();
        self.tcp.answering() + self.udp.answering() + single
    }
}

/// The ports of one protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// How many were tried.
    pub tried: usize,
    /// Those that let one in: TCP accepted, UDP answered.
    pub open: Vec<u16>,
    /// How many said that nobody is there (TCP reset, ICMP unreachable): closed, but visible.
    pub refused: usize,
    /// How many gave no sign of life.
    pub silent: usize,
}

impl Ports {
    /// How many gave any sign of life.
    pub fn answering(&self) -> usize {
        self.open.len() + self.refused
    }
}

/// One attempt and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// What was sent.
    pub name: String,
    /// What came back.
    pub answer: Answer,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum Answer {
    /// Nothing at all.
    Silence,
    /// A TCP connection was accepted.
    Accepted,
    /// A TCP reset.
    Reset,
    /// An ICMP error, with its type and code.
    Error(u8, u8),
    /// An answer to a ping, or another ICMP reply.
    Echo,
    /// A reply of the program behind the port, its first line where it is text.
    Reply(String),
}

impl Report {
    /// The report for people: per host, what answered before and after, IPv4 / IPv6.
    pub fn table(&self) -> String {
        let mut text = String::new();
        line(&mut text, "", "before", "after");
        line(&mut text, "", "IPv4 / IPv6", "IPv4 / IPv6");
        for name in self.names() {
            let before: Vec<_> = self.before.iter().filter(|reach| reach.from == name).collect();
            let after: Vec<_> = self.after.iter().filter(|reach| reach.from == name).collect();
            line(&mut text, name, &both(&before, &|reach| reach.source.to_string()), "");
            let mut row = |what: &str, cell: &dyn Fn(&Reach) -> String| {
                line(&mut text, what, &both(&before, cell), &both(&after, cell));
            };
            row("  TCP ports that answer, of 65,535", &|reach| grouped(reach.tcp.answering()));
            row("  TCP ports open", &|reach| list(&reach.tcp.open));
            let udp = self.before.first().map_or(0, |reach| reach.udp.tried);
            row(&format!("  common UDP ports that answer, of {udp}"), &|reach| {
                reach.udp.answering().to_string()
            });
            row("  UDP ports open", &|reach| list(&reach.udp.open));
            row("  odd packets answered", &|reach| answered(&reach.probes));
            let requests = before.first().map(|reach| reach.sip.as_slice()).unwrap_or_default();
            for (place, request) in requests.iter().enumerate() {
                row(&format!("  {}", request.name), &|reach| {
                    reach.sip.get(place).map_or_else(String::new, |probe| told(&probe.answer))
                });
            }
        }
        text
    }

    /// One sentence about what the host called `stranger` can still see.
    pub fn conclusion(&self, stranger: &str) -> String {
        let count: usize = self.seen_after(stranger).iter().map(|(_, answers)| answers).sum();
        if count == 0 {
            return format!(
                "For the {stranger} the server does not exist: nothing answered, by IPv4 or IPv6."
            );
        }
        let mut text = format!("The {stranger} still got {count} answers:");
        for reach in self.after.iter().filter(|reach| reach.from == stranger) {
            for probe in reach.probes.iter().chain(&reach.sip) {
                if probe.answer != Answer::Silence {
                    let _ = write!(text, "\n  {}: {}", probe.name, told(&probe.answer));
                }
            }
            let _ = write!(
                text,
                "\n  {}: TCP {} open, {} refused; UDP {} open, {} refused",
                reach.target,
                list(&reach.tcp.open),
                reach.tcp.refused,
                list(&reach.udp.open),
                reach.udp.refused
            );
        }
        text
    }

    /// Whether anything answered the host called `name` after the server was protected, or it
    /// never tried.
    pub fn is_visible_to(&self, name: &str) -> bool {
        let seen = self.seen_after(name);
        seen.is_empty() || seen.iter().any(|&(_, answers)| answers > 0)
    }

    fn seen_after(&self, name: &str) -> Vec<(IpAddr, usize)> {
        let reaches = self.after.iter().filter(|reach| reach.from == name);
        reaches.map(|reach| (reach.target, reach.answers())).collect()
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for reach in &self.before {
            if !names.contains(&reach.from.as_str()) {
                names.push(&reach.from);
            }
        }
        names
    }
}

/// A cell: the values of both families, or one where they are the same.
fn both(reaches: &[&Reach], cell: &dyn Fn(&Reach) -> String) -> String {
    let cells: Vec<String> = reaches.iter().map(|reach| cell(reach)).collect();
    match cells.as_slice() {
        [v4, v6] if v4 == v6 && v4.len() > 12 => v4.clone(),
        cells => cells.join(" / "),
    }
}

fn line(text: &mut String, what: &str, before: &str, after: &str) {
    let line = format!("{what:<40}  {before:<30}  {after}");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

fn answered(probes: &[Probe]) -> String {
    let answered = probes.iter().filter(|probe| probe.answer != Answer::Silence).count();
    format!("{answered} of {}", probes.len())
}

fn list(ports: &[u16]) -> String {
    if ports.is_empty() {
        return "none".to_owned();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(" ")
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Silence => "silence".to_owned(),
        Answer::Accepted => "accepted".to_owned(),
        Answer::Reset => "reset".to_owned(),
        Answer::Error(kind, code) => format!("ICMP error {kind}/{code}"),
        Answer::Echo => "reply".to_owned(),
        Answer::Reply(line) => line.strip_prefix("SIP/2.0 ").unwrap_or(line).to_owned(),
    }
}

/// 65535 as `65,535`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
