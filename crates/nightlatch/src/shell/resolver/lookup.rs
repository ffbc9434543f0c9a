//! One look-up: what is asked, what was answered, and what comes of it. No socket and no clock.
//!
//! Of a name that begins with `_`, the SRV records are asked for, and the addresses of the servers that they
//! name. A name `_sip.DOMAIN` stands for the SIP domain `DOMAIN`, whose servers are found as a SIP client
//! finds them (RFC 3263, section 4): its NAPTR records name the SRV records; without these, they are those of
//! SIP over UDP, TCP and TLS; and a domain without SRV records is itself the server.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use nightlatch_core::entry::HostName;
use nightlatch_parse::dns::{
    Addresses, Answer, DnsError, Kind, Services, address_answer, address_question, naptr_answer,
    naptr_question, srv_answer, srv_question,
};

/// How a name begins that stands for a SIP domain.
const SIP_DOMAIN: &str = "_sip.";
/// Where the servers of a SIP domain are named that has no NAPTR records.
const SERVICES: [&str; 3] = ["_sip._udp", "_sip._tcp", "_sips._tcp"];
/// The most servers of SRV records, all together, whose addresses are looked up.
const MAX_TARGETS: usize = 16;
/// How many packets that answer nothing a look-up reads before it gives the name server up: whoever
/// guesses does not get further tries.
const MAX_STRAY: u32 = 64;

/// What a look-up brings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Looked {
    /// The name.
    pub(crate) name: HostName,
    /// Its IPv4 addresses.
    pub(crate) v4: Half,
    /// Its IPv6 addresses.
    pub(crate) v6: Half,
}

/// What it brings about one family of addresses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Half {
    /// These addresses, at least one; whether others may be missing; for how long they are valid.
    Addresses { addresses: Vec<IpAddr>, is_partial: bool, lifetime: Duration },
    /// There is no such name, or it has no address of this family.
    Nothing,
    /// It could not be looked up.
    Failed(Why),
}

/// Why something could not be looked up; what tells more comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// No answer came in time.
    Silent,
    /// The name server cannot be reached.
    Unreachable,
    /// The answer is malformed.
    Malformed,
    /// The name server reports this error.
    Server(u8),
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Naptr,
    Srv,
    Addresses(Kind),
}

/// One question, and its answer.
#[derive(Debug)]
struct Ask {
    name: String,
    what: What,
    id: u16,
    state: State,
    /// The name servers that could not answer it, one bit each, and why the last one could not.
    failed_at: u8,
    why: Why,
}

#[derive(Debug, PartialEq)]
enum State {
    /// To be sent to the present name server.
    Fresh,
    /// Sent to it.
    Sent,
    /// Asked over TCP.
    OverTcp,
    /// The present name server could not answer it.
    Failed,
    Answered(Found),
}

#[derive(Clone, Debug, PartialEq)]
struct Found {
    addresses: Vec<IpAddr>,
    lifetime: Option<u32>,
    is_partial: bool,
}

/// A look-up under way.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) name: HostName,
    /// The names that are tried one after the other; the first is being tried.
    candidates: VecDeque<String>,
    asks: Vec<Ask>,
    stray: u32,
}

/// A question that is to be sent.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    /// Which one: for [`Lookup::over_tcp`].
    pub(super) ask: usize,
    pub(super) packet: Vec<u8>,
}

impl Lookup {
    /// A name without a dot is tried in each of the domains before it is tried as it is.
    pub(super) fn new(name: HostName, domains: &[String]) -> Lookup {
        let text = name.as_str();
        let is_short = !text.contains('.');
        let longer = domains.iter().filter(|_| is_short).map(|domain| format!("{text}.{domain}"));
        let candidates = longer.chain([text.to_owned()]).collect();
        let mut lookup = Lookup { name, candidates, asks: Vec::new(), stray: 0 };
        lookup.begin();
        lookup
    }

    fn begin(&mut self) {
        self.asks.clear();
        let Some(name) = self.candidates.front().cloned() else { return };
        if let Some(domain) = sip_domain(&name) {
            self.ask(domain.to_owned(), What::Naptr);
        } else if name.starts_with('_') {
            self.ask(name, What::Srv);
        } else {
            self.ask_for_addresses(name);
        }
    }

    fn ask_for_addresses(&mut self, name: String) {
        self.ask(name.clone(), What::Addresses(Kind::A));
        self.ask(name, What::Addresses(Kind::Aaaa));
    }

    fn ask(&mut self, name: String, what: What) {
        let (state, why) = (State::Fresh, Why::Silent);
        self.asks.push(Ask { name, what, id: 0, state, failed_at: 0, why });
    }

    /// The questions that are to be sent to the present name server now. `id` makes random numbers.
    pub(super) fn questions(&mut self, mut id: impl FnMut() -> u16) -> Vec<Question> {
        let mut questions = Vec::new();
        for at in 0.. {
            let Some(ask) = self.asks.get_mut(at) else { break };
            if ask.state != State::Fresh {
                continue;
            }
            ask.id = id();
            if let Some(packet) = ask.question() {
                ask.state = State::Sent;
                questions.push(Question { ask: at, packet });
            } else {
                // Too long with what stands before or behind it: there is no such name.
                ask.state = State::Answered(Found::nothing());
                self.go_further();
            }
        }
        questions
    }

    /// Asks the next thing about a SIP domain of which nothing was found yet: the SRV records of the usual
    /// services, and then its own addresses. What could not be asked is not taken for an answer.
    fn go_further(&mut self) {
        let domain = self.candidates.front().and_then(|name| sip_domain(name));
        let Some(domain) = domain.map(str::to_owned) else { return };
        let asks_for = |what: fn(What) -> bool| self.asks.iter().any(|ask| what(ask.what));
        let is_answered = |ask: &Ask| matches!(ask.state, State::Answered(_));
        if asks_for(|what| matches!(what, What::Addresses(_))) || !self.asks.iter().all(is_answered)
        {
            return;
        }
        if asks_for(|what| what == What::Srv) {
            self.ask_for_addresses(domain);
        } else {
            SERVICES.iter().for_each(|service| self.ask(format!("{service}.{domain}"), What::Srv));
        }
    }

    /// A packet has come from a name server. Returns the questions that have to be asked over TCP.
    pub(super) fn take(&mut self, packet: &[u8], server: usize) -> Vec<usize> {
        for at in 0..self.asks.len() {
            let Some(ask) = self.asks.get(at).filter(|ask| ask.state == State::Sent) else {
                continue;
            };
            match ask.read(packet) {
                Err(DnsError::NotOurs) => {}
                Ok(Read::Truncated) => {
                    self.set(at, State::OverTcp);
                    return vec![at];
                }
                other => {
                    self.answered(at, other, server);
                    return Vec::new();
                }
            }
        }
        self.stray = self.stray.saturating_add(1);
        if self.stray > MAX_STRAY {
            self.fail(server, Why::Silent);
        }
        Vec::new()
    }

    /// A question as it is sent over TCP.
    pub(super) fn over_tcp(&self, at: usize) -> Option<Vec<u8>> {
        self.asks.get(at)?.question()
    }

    /// The answer over TCP has come, or not.
    pub(super) fn take_over_tcp(&mut self, at: usize, answer: Result<&[u8], Why>, server: usize) {
        let Some(ask) = self.asks.get(at).filter(|ask| ask.state == State::OverTcp) else { return };
        match answer.map(|packet| ask.read(packet)) {
            // What is truncated even there cannot be had.
            Ok(Err(DnsError::NotOurs) | Ok(Read::Truncated)) => {
                self.answered(at, Err(DnsError::Damaged), server);
            }
            Ok(read) => self.answered(at, read, server),
            Err(why) => self.failed(at, why, server),
        }
    }

    fn set(&mut self, at: usize, state: State) {
        if let Some(ask) = self.asks.get_mut(at) {
            ask.state = state;
        }
    }

    fn answered(&mut self, at: usize, read: Result<Read, DnsError>, server: usize) {
        match read {
            Ok(Read::Addresses(found)) => self.set(at, State::Answered(found)),
            Ok(Read::Services(Services { names, is_partial, lifetime, .. })) => {
                self.set(at, State::Answered(Found::elsewhere(lifetime, is_partial)));
                names.into_iter().for_each(|name| self.ask(name, What::Srv));
            }
            Ok(Read::Servers(answer)) => self.ask_servers(at, answer),
            Ok(Read::Truncated) | Err(DnsError::NotOurs) => {}
            Err(DnsError::NoSuchName) => self.set(at, State::Answered(Found::nothing())),
            Err(DnsError::Damaged) => self.failed(at, Why::Malformed, server),
            Err(DnsError::Refused(code)) => self.failed(at, Why::Server(code), server),
        }
        self.go_further();
    }

    /// Asks for the addresses of servers, as far as nobody has.
    fn ask_servers(&mut self, at: usize, answer: Answer) {
        let is_asked = |name: &String| {
            let mut asks = self.asks.iter();
            asks.any(|ask| matches!(ask.what, What::Addresses(_)) && ask.name == *name)
        };
        let targets: BTreeSet<String> =
            answer.servers.into_iter().map(|server| server.target).collect();
        let targets: Vec<String> = targets.into_iter().filter(|name| !is_asked(name)).collect();
        let is_of_a = |ask: &&Ask| ask.what == What::Addresses(Kind::A);
        let room = MAX_TARGETS.saturating_sub(self.asks.iter().filter(is_of_a).count());
        let is_partial = answer.is_partial || targets.len() > room;
        self.set(at, State::Answered(Found::elsewhere(answer.lifetime, is_partial)));
        for target in targets.into_iter().take(room) {
            self.ask_for_addresses(target);
        }
    }

    fn failed(&mut self, at: usize, why: Why, server: usize) {
        if let Some(ask) = self.asks.get_mut(at) {
            ask.fail(why);
            ask.failed_at |= bit(server);
        }
    }

    /// The present name server does not answer what is still open.
    pub(super) fn fail(&mut self, server: usize, why: Why) {
        for ask in &mut self.asks {
            if matches!(ask.state, State::Sent | State::Fresh) {
                ask.fail(why);
                // A silent one may only have been slow.
                if why != Why::Silent {
                    ask.failed_at |= bit(server);
                }
            }
        }
    }

    /// What was asked over TCP has taken too long.
    pub(super) fn give_up_tcp(&mut self, server: usize) {
        for at in 0..self.asks.len() {
            if self.asks.get(at).is_some_and(|ask| ask.state == State::OverTcp) {
                self.failed(at, Why::Silent, server);
            }
        }
    }

    /// Whether nothing more is to be expected from the present name server.
    pub(super) fn rests(&self) -> bool {
        self.asks.iter().all(|ask| matches!(ask.state, State::Failed | State::Answered(_)))
    }

    /// Whether another name server may know what this one did not.
    pub(super) fn is_open_for(&self, server: usize) -> bool {
        let is_open = |ask: &Ask| ask.state == State::Failed && ask.failed_at & bit(server) == 0;
        self.asks.iter().any(is_open)
    }

    /// Another name server is asked what is still open.
    pub(super) fn again(&mut self, server: usize) {
        self.stray = 0;
        for ask in &mut self.asks {
            if ask.state == State::Failed && ask.failed_at & bit(server) == 0 {
                ask.state = State::Fresh;
            }
        }
    }

    /// Tries the next candidate, if this one is no name and there is another.
    pub(super) fn tries_another_name(&mut self) -> bool {
        let is_nothing =
            self.half(Kind::A) == Half::Nothing && self.half(Kind::Aaaa) == Half::Nothing;
        if !is_nothing || self.candidates.len() < 2 {
            return false;
        }
        self.candidates.pop_front();
        self.begin();
        true
    }

    /// What has come of it.
    pub(super) fn looked(&self) -> Looked {
        Looked { name: self.name.clone(), v4: self.half(Kind::A), v6: self.half(Kind::Aaaa) }
    }

    fn half(&self, kind: Kind) -> Half {
        let mut all = Found::nothing();
        let mut failed = None;
        for ask in &self.asks {
            match (&ask.state, ask.what) {
                (_, What::Addresses(other)) if other != kind => {}
                (State::Answered(found), _) => {
                    all.addresses.extend(&found.addresses);
                    all.is_partial |= found.is_partial;
                    all.lifetime = [all.lifetime, found.lifetime].into_iter().flatten().min();
                }
                _ => failed = Some(ask.why),
            }
        }
        all.addresses.sort_unstable();
        all.addresses.dedup();
        match failed {
            Some(why) if all.addresses.is_empty() => Half::Failed(why),
            None if all.addresses.is_empty() => Half::Nothing,
            _ => Half::Addresses {
                addresses: all.addresses,
                is_partial: all.is_partial || failed.is_some(),
                lifetime: Duration::from_secs(all.lifetime.unwrap_or(0).into()),
            },
        }
    }
}

/// What a packet holds.
enum Read {
    Addresses(Found),
    Services(Services),
    Servers(Answer),
    /// Not all of it: it has to be asked over TCP.
    Truncated,
}

impl Ask {
    /// What a name server said tells more than the silence of another one.
    fn fail(&mut self, why: Why) {
        self.state = State::Failed;
        self.why = self.why.max(why);
    }

    /// The question as it is sent. `None` if there can be no such name.
    fn question(&self) -> Option<Vec<u8>> {
        match self.what {
            What::Naptr => naptr_question(self.id, &self.name),
            What::Srv => srv_question(self.id, &self.name),
            What::Addresses(kind) => address_question(self.id, &self.name, kind),
        }
    }

    fn read(&self, packet: &[u8]) -> Result<Read, DnsError> {
        match self.what {
            What::Naptr => {
                let answer = naptr_answer(packet, self.id, &self.name)?;
                Ok(if answer.is_truncated { Read::Truncated } else { Read::Services(answer) })
            }
            What::Srv => {
                let answer = srv_answer(packet, self.id, &self.name)?;
                let is_truncated = answer.is_partial && self.state == State::Sent;
                Ok(if is_truncated { Read::Truncated } else { Read::Servers(answer) })
            }
            What::Addresses(kind) => {
                let answer = address_answer(packet, self.id, &self.name, kind)?;
                let Addresses { addresses, lifetime, is_truncated } = answer;
                let found = Found { addresses, lifetime, is_partial: false };
                Ok(if is_truncated { Read::Truncated } else { Read::Addresses(found) })
            }
        }
    }
}

impl Found {
    fn nothing() -> Found {
        Found::elsewhere(None, false)
    }

    /// The addresses are those of the servers that the answer names.
    fn elsewhere(lifetime: Option<u32>, is_partial: bool) -> Found {
        Found { addresses: Vec::new(), lifetime, is_partial }
    }
}

/// The SIP domain for which a name stands, if it does.
fn sip_domain(name: &str) -> Option<&str> {
    name.strip_prefix(SIP_DOMAIN).filter(|domain| !domain.starts_with('_'))
}

fn bit(server: usize) -> u8 {
    u32::try_from(server).ok().and_then(|server| 1_u8.checked_shl(server)).unwrap_or(0)
}
