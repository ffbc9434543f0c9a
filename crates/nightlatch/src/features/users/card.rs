//! What is handed over to a user: in words, and as the drawings and pages that are made of them.

use std::fmt::Write as _;

use nightlatch_core::features::users::{Card, Spa, User};
use nightlatch_core::service::Ports;
use nightlatch_core::time::show_span;

use super::qr::Code;
use crate::shell::xml::escaped;

/// How many ports a client of fwknop asks for: the server reduces that to what the user may have, and
/// messages are short.
const MAX_ACCESS: usize = 12;

/// A card for a server at some address.
pub(super) struct Sheet {
    title: String,
    intro: Vec<String>,
    sections: Vec<Section>,
    /// What a program reads: one word and its value a line.
    data: String,
}

struct Section {
    heading: &'static str,
    lines: Vec<String>,
}

impl Sheet {
    /// The card for a server that is reached at `host`.
    pub(super) fn new(card: &Card, host: &str) -> Sheet {
        let Card { user, secrets, ports, idle, longest } = card;
        let mut sheet = Sheet {
            title: format!("Access of {} to {host}", user.name),
            intro: vec![
                format!("server    {host}"),
                format!("user      {}", user.name),
                format!("opens     {}", user.services),
                format!(
                    "          for your address only, until it sends nothing for {}, and for {} at most",
                    show_span(*idle),
                    show_span(*longest)
                ),
                "Keep this card to yourself: whoever has it has your access. If it is lost, ask for new credentials.".to_owned(),
            ],
            sections: Vec::new(),
            data: format!("NIGHTLATCH_CARD: 1\nHOST: {host}\nUSER: {}\n", user.name),
        };
        if let Some(spa) = &secrets.spa {
            sheet.spa(spa, ports, host, user);
        }
        if let Some(knock) = &secrets.knock {
            sheet.knock(*knock.reveal(), host);
        }
        if let Some(agent) = &secrets.agent {
            sheet.agent(agent.text.as_ref().map(|text| text.reveal().as_str()));
        }
        sheet
    }

    fn spa(&mut self, spa: &Spa, ports: &[Ports], host: &str, user: &User) {
        // What a client has to find out itself, where packets must name their address.
        let named = if user.require_address { "resolve" } else { "source" };
        let user = &user.name;
        let access: Vec<String> = ports.iter().take(MAX_ACCESS).copied().map(first_port).collect();
        let access = access.join(",");
        let (key, hmac_key, port) = (spa.key.reveal(), spa.hmac_key.reveal(), spa.port.reveal());
        self.section(
            "Single packet authorization (SPA): recommended",
            vec![
                "With Nightlatch, save this card as a file that only you can read, and then, each time:"
                    .to_owned(),
                format!("    nightlatch open {host} --card FILE"),
                "With the program fwknop, add this to the file .fwknoprc in your home folder:"
                    .to_owned(),
                format!("    [{user}@{host}]"),
                format!("    SPA_SERVER {host}"),
                format!("    SPA_SERVER_PORT {port}"),
                format!("    ALLOW_IP {named}"),
                format!("    ACCESS {access}"),
                format!("    KEY {key}"),
                "    USE_HMAC Y".to_owned(),
                format!("    HMAC_KEY {hmac_key}"),
                format!("and then, each time: fwknop -n {user}@{host}"),
            ],
        );
        let _ = write!(
            self.data,
            "SPA_SERVER_PORT: {port}\nALLOW_IP: {named}\nACCESS: {access}\nKEY: {key}\nHMAC_KEY: {hmac_key}\n"
        );
    }

    fn knock(&mut self, [a, b, c]: [u16; 3], host: &str) {
        self.section("Port knocking", vec![
            format!("With the program knock: knock -d 300 {host} {a} {b} {c}"),
            format!("With nmap: for port in {a} {b} {c}; do nmap -n -Pn --max-retries 0 -p $port {host}; done"),
            format!("In apps: TCP ports {a}, {b}, {c}, in this order, 300 ms apart"),
            "Nothing answers, and all three must arrive within 15 seconds. It opens only the address family that it used: with knock -6 and nmap -6, for IPv6.".to_owned(),
            "Whoever sees these packets on their way can replay them, and then has the same access as you: prefer SPA where you can.".to_owned(),
        ]);
        let _ = writeln!(self.data, "KNOCK: {a} {b} {c}");
    }

    fn agent(&mut self, text: Option<&str>) {
        let lines = match text {
            Some(text) => {
                let _ = writeln!(self.data, "USER_AGENT: {text}");
                vec![
                    format!("In the settings of your SIP phone, set the user agent to: {text}"),
                    "Over UDP and TCP, whoever sees the phone's packets on their way can read it."
                        .to_owned(),
                ]
            }
            None => vec![
                "It was shown before, and only its hash is kept. Whoever made this card can give you a new one."
                    .to_owned(),
            ],
        };
        self.section("Secret user agent of a SIP phone", lines);
    }

    fn section(&mut self, heading: &'static str, lines: Vec<String>) {
        self.sections.push(Section { heading, lines });
    }

    /// What a program reads, and what the QR code says.
    pub(super) fn data(&self) -> &str {
        &self.data
    }

    /// Its QR code, if it is not too long for one.
    pub(super) fn code(&self) -> Option<Code> {
        Code::of(&self.data)
    }

    /// All that it says, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.title.clone(), String::new()];
        lines.extend(self.intro.iter().cloned());
        for Section { heading, lines: own } in &self.sections {
            lines.extend([String::new(), (*heading).to_owned()]);
            lines.extend(own.iter().map(|line| format!("  {line}")));
        }
        lines
    }

    /// A page that needs nothing from elsewhere, for a browser or a printer.
    pub(super) fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{title}</title>\n<style>body {{ font: 12pt sans-serif; margin: 2em }} pre {{ white-space: pre-wrap; overflow-wrap: anywhere }} svg {{ width: 70mm; height: 70mm }}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        let _ = writeln!(page, "<pre>{}</pre>", escaped(&self.intro.join("\n")));
        for Section { heading, lines } in &self.sections {
            let lines = escaped(&lines.join("\n"));
            let _ = writeln!(page, "<h2>{}</h2>\n<pre>{lines}</pre>", escaped(heading));
        }
        if let Some(code) = self.code() {
            let width = code.width();
            let _ = writeln!(
                page,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {width}\" shape-rendering=\"crispEdges\"><rect width=\"{width}\" height=\"{width}\" fill=\"#fff\"/><path d=\"{}\" fill=\"#000\"/></svg>",
                code.path()
            );
        }
        page + "</body>\n</html>\n"
    }

    /// A drawing: the QR code, and what it says below.
    pub(super) fn svg(&self) -> String {
        const SIDE: usize = 400;
        const LINE: usize = 16;
        let lines = self.lines();
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let (width, height) = (SIDE.max(longest * 8 + 2 * LINE), SIDE + (lines.len() + 2) * LINE);
        let mut drawing = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n",
            escaped(&self.title)
        );
        if let Some(code) = self.code() {
            let modules = code.width();
            let _ = writeln!(
                drawing,
                "<svg width=\"{SIDE}\" height=\"{SIDE}\" viewBox=\"0 0 {modules} {modules}\" shape-rendering=\"crispEdges\"><path d=\"{}\" fill=\"#000\"/></svg>",
                code.path()
            );
        }
        for (number, line) in lines.iter().enumerate() {
            let y = SIDE + (number + 1) * LINE;
            let _ = writeln!(
                drawing,
                "<text x=\"{LINE}\" y=\"{y}\" font-family=\"monospace\" font-size=\"13\" xml:space=\"preserve\">{}</text>",
                escaped(line)
            );
        }
        drawing + "</svg>\n"
    }
}

/// `udp/5060`; of a range its first port.
fn first_port(ports: Ports) -> String {
    Ports::new(ports.protocol, ports.first, ports.first).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A card with secrets that are known.
    fn card() -> Card {
        let card = serde_json::json!({
            "user": {
                "name": "anna", "services": ["sip"], "credentials": {}, "since": 0, "by": "root",
            },
            "secrets": {
                "knock": [7001, 7005, 7003],
                "spa": { "port": 4000, "key": "KEY+/=", "hmac_key": "HMAC==" },
                "agent": { "key": vec![0; 32], "hash": vec![1; 32], "text": "abcde-fghij" },
            },
            "ports": ["udp/5060", "udp/10000-20000"],
            "idle": { "secs": 28_800, "nanos": 0 },
            "longest": { "secs": 604_800, "nanos": 0 },
        });
        serde_json::from_value(card).unwrap()
    }

    #[test]
    fn a_card_says_all_that_is_needed() {
        let sheet = Sheet::new(&card(), "pbx.example.net");
        assert_eq!(
            sheet.data(),
            "NIGHTLATCH_CARD: 1\nHOST: pbx.example.net\nUSER: anna\nSPA_SERVER_PORT: 4000\nALLOW_IP: source\nACCESS: udp/5060,udp/10000\nKEY: KEY+/=\nHMAC_KEY: HMAC==\nKNOCK: 7001 7005 7003\nUSER_AGENT: abcde-fghij\n"
        );
        let lines = sheet.lines().join("\n");
        for expected in [
            "Access of anna to pbx.example.net",
            "opens     sip",
            "until it sends nothing for 8h, and for 7d at most",
            "    SPA_SERVER_PORT 4000\n",
            "    ACCESS udp/5060,udp/10000\n",
            "    HMAC_KEY HMAC==\n",
            "fwknop -n anna@pbx.example.net",
            "    nightlatch open pbx.example.net --card FILE\n",
            "knock -d 300 pbx.example.net 7001 7005 7003\n",
            "nmap -n -Pn --max-retries 0 -p $port pbx.example.net",
            "can replay them",
            "user agent to: abcde-fghij",
        ] {
            assert!(lines.contains(expected), "{expected}: {lines}");
        }
        let mut named = card();
        named.user.require_address = true;
        let sheet = Sheet::new(&named, "pbx.example.net");
        assert!(sheet.lines().contains(&"      ALLOW_IP resolve".to_owned()));
        assert!(sheet.data().contains("\nALLOW_IP: resolve\n"));
        let mut shown = card();
        shown.secrets.agent.as_mut().unwrap().text = None;
        let sheet = Sheet::new(&shown, "pbx.example.net");
        assert!(sheet.lines().join(" ").contains("only its hash is kept"));
        assert!(!sheet.data().contains("USER_AGENT"));
    }

    #[test]
    fn pages_and_drawings_are_escaped() {
        let hostile = "<script src='x'>&\"\u{1b}";
        let mut card = card();
        card.idle = Duration::from_secs(60);
        let sheet = Sheet::new(&card, hostile);
        for page in [sheet.html(), sheet.svg()] {
            assert!(page.contains("&lt;script src=&#39;x&#39;&gt;&amp;&quot;\u{fffd}"), "{page}");
            assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
            assert!(page.contains("<path d=\"M4 4h7v1h-7z"), "{page}");
        }
        assert_eq!(sheet.svg().matches("<svg").count(), sheet.svg().matches("</svg>").count());
    }

    #[test]
    fn the_longest_names_have_a_code_too() {
        let label = "x".repeat(63);
        let host = [label.as_str(); 4].join(".");
        assert!(Sheet::new(&card(), &host[..253]).code().is_some());
    }
}
