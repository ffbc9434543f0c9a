//! Tests of the whole reader. `../testdata/` has genuine messages: of baresip 1.0.0, Linphone 5.1.65,
//! SIPp 3.6.1, sipvicious 0.3.3 and Kamailio 5.6.3.

mod genuine;
mod properties;
mod torture;

use super::*;

/// All genuine messages, with their names.
const GENUINE: [(&str, &[u8]); 17] = [
    ("baresip-register", include_bytes!("../testdata/baresip-register.sip")),
    ("baresip-register-auth", include_bytes!("../testdata/baresip-register-auth.sip")),
    ("baresip-register-v6", include_bytes!("../testdata/baresip-register-v6.sip")),
    ("kamailio-200", include_bytes!("../testdata/kamailio-200.sip")),
    ("kamailio-401", include_bytes!("../testdata/kamailio-401.sip")),
    ("kamailio-405", include_bytes!("../testdata/kamailio-405.sip")),
    ("linphone-ack", include_bytes!("../testdata/linphone-ack.sip")),
    ("linphone-invite", include_bytes!("../testdata/linphone-invite.sip")),
    ("linphone-register", include_bytes!("../testdata/linphone-register.sip")),
    ("linphone-register-auth", include_bytes!("../testdata/linphone-register-auth.sip")),
    ("sipp-invite", include_bytes!("../testdata/sipp-invite.sip")),
    ("sipp-register", include_bytes!("../testdata/sipp-register.sip")),
    ("sipp-register-v6", include_bytes!("../testdata/sipp-register-v6.sip")),
    ("sipvicious-crack", include_bytes!("../testdata/sipvicious-crack.sip")),
    ("sipvicious-crack-auth", include_bytes!("../testdata/sipvicious-crack-auth.sip")),
    ("sipvicious-options", include_bytes!("../testdata/sipvicious-options.sip")),
    ("sipvicious-register", include_bytes!("../testdata/sipvicious-register.sip")),
];

fn genuine(name: &str) -> &'static [u8] {
    GENUINE.iter().find(|(known, _)| *known == name).unwrap().1
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn some<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or("-".to_owned(), show)
}

fn show_host(host: Option<Host<'_>>, port: Option<u16>) -> String {
    let host = some(host, |host| match host {
        Host::Address(address) => format!("{{{address}}}"),
        Host::Name(name) => name.to_owned(),
    });
    host + &port.map_or(String::new(), |port| format!(" :{port}"))
}

fn show_uri(uri: Option<Uri<'_>>) -> String {
    some(uri, |uri| {
        let place = show_host(uri.host, uri.port);
        format!("{:?} {} {place} {}", uri.scheme, some(uri.user, text), text(uri.parameters.raw()))
            .trim_end()
            .to_owned()
    })
}

fn show_address(address: Address<'_>) -> String {
    let (name, uri) = (text(&address.name()), show_uri(address.uri));
    format!("[{name}] {uri} tag={}", some(address.tag(), text))
}

fn show_via(via: Via<'_>) -> String {
    let place = show_host(via.host, via.port);
    format!("{} {place} {}", text(via.transport), some(via.branch(), text))
}

/// One value of a message, for tables of expected ones.
fn show(message: &Message<'_>, what: &str) -> String {
    match what {
        "start" => match message.start {
            StartLine::Request { method, uri, .. } => {
                format!("{} {}", text(method), show_uri(uri))
            }
            StartLine::Response { status, reason } => {
                format!("{} {}", some(status, |it| it.to_string()), text(reason))
            }
        },
        "via" => some(message.via, show_via),
        "vias" => message.vias().map(show_via).collect::<Vec<_>>().join(" | "),
        "from" => some(message.from, show_address),
        "to" => some(message.to, show_address),
        "contact" => some(message.contact, show_address),
        "contacts" => message.contacts().map(show_address).collect::<Vec<_>>().join(" | "),
        "call" => some(message.call_id, text),
        "cseq" => some(message.cseq, |it| format!("{} {}", it.number, text(it.method))),
        "agent" => some(message.user_agent(), |header| text(&header.unfolded())),
        "server" => some(message.server(), |header| text(&header.unfolded())),
        "expires" => some(message.expires, |it| it.to_string()),
        "length" => some(message.content_length, |it| it.to_string()),
        "body" => message.body.len().to_string(),
        "faults" => {
            let all: Vec<String> = message.faults().iter().map(ToString::to_string).collect();
            all.join("; ")
        }
        _ => panic!("{what}"),
    }
}

/// Checks values of a message, written as lines `what: value`.
fn check(name: &str, payload: &[u8], expected: &str) {
    let message = read(payload, false).unwrap_or_else(|error| panic!("{name}: {error}"));
    for line in expected.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (what, value) = line.split_once(':').unwrap();
        assert_eq!(show(&message, what), value.trim(), "{name}: {what}");
    }
}

/// A message written with LF, as it is sent.
fn sent(text: &str) -> Vec<u8> {
    text.trim_start().replace('\n', "\r\n").into_bytes()
}
