//! The installed Kamailio, where it is, with our snippet: what it writes about logins over the loopback interface is
//! read, and nothing that a client sends moves the source.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use md5::{Digest as _, Md5};
use nightlatch_parse::log::{Format, Outcome, Proof, Reading};

/// Kamailio, which ends with the test.
struct Kamailio {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children end with it on this signal.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Kamailio {
    /// `None` where it is not installed.
    fn start(folder: &Path) -> Option<Kamailio> {
        let Some(program) = ["/usr/sbin/kamailio", "/usr/local/sbin/kamailio"]
            .into_iter()
            .find(|file| Path::new(file).exists())
        else {
            eprintln!("SKIPPED: kamailio is missing (package kamailio)");
            return None;
        };
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let snippet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg/snippets/kamailio.cfg");
        let configuration = format!(
            r#"#!KAMAILIO
debug=2
log_stderror=yes
log_prefix="{{$mt $hdr(CSeq) $ci}} "
children=2
auto_aliases=no
disable_tcp=yes
listen=udp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "textops.so"
loadmodule "auth.so"
include_file "{}"
request_route {{
    if ($ua == "scanner") {{
        $var(nightlatch) = -100;
        route(NIGHTLATCH);
        exit;
    }}
    if (!pv_www_authenticate("$td", "secret", "0")) {{
        $var(nightlatch) = $retcode;
        route(NIGHTLATCH);
        www_challenge("$td", "0");
        exit;
    }}
    $var(nightlatch) = 1;
    route(NIGHTLATCH);
    sl_send_reply("200", "OK");
}}
"#,
            snippet.display()
        );
        let file = folder.join("kamailio.cfg");
        fs::write(&file, configuration).unwrap();
        let log = folder.join("log");
        let child = Command::new(program)
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
            .arg(&file)
            .arg("-Y")
            .arg(folder)
            .arg("-w")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Some(Kamailio { child, port, log })
    }

    /// The lines of our snippet, as it wrote them, as soon as there are so many.
    fn lines(&self, count: usize) -> Vec<String> {
        for _ in 0..100 {
            let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned();
            let is_ours = |line: &&str| line.contains("<script>: nightlatch: ");
            let lines: Vec<String> = log.lines().filter(is_ours).map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            sleep(Duration::from_millis(100));
        }
        unreachable!("{}", fs::read_to_string(&self.log).unwrap_or_default());
    }
}

/// A client, which registers at Kamailio.
struct Client {
    socket: UdpSocket,
    call: String,
    agent: String,
    user: String,
}

impl Client {
    fn at(address: &str, kamailio: &Kamailio) -> Client {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(("127.0.0.1", kamailio.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let text = |text: &str| text.to_owned();
        Client { socket, call: text("a"), agent: text("x"), user: text("200") }
    }

    /// Sends a REGISTER and returns the answer; `None` if none comes.
    fn registers(&self, authorization: &str) -> Option<String> {
        let local = self.socket.local_addr().unwrap();
        let request = format!(
            "REGISTER sip:lab.example.net SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nFrom: <sip:200@lab.example.net>;tag=a\r\n\
             To: <sip:200@lab.example.net>\r\nCall-ID: {}\r\nCSeq: 1 REGISTER\r\n\
             User-Agent: {}\r\n{authorization}Content-Length: 0\r\n\r\n",
            self.call, self.agent
        );
        self.socket.send(request.as_bytes()).unwrap();
        let mut answer = vec![0; 65_536];
        let length = self.socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(answer.get(..length)?).into_owned())
    }

    /// A nonce.
    fn asks(&self) -> String {
        let answer = (0..80).find_map(|_| {
            // Until it listens, its host refuses.
            sleep(Duration::from_millis(250));
            self.registers("")
        });
        let answer = answer.unwrap();
        let (_, rest) = answer.split_once("nonce=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Answers with a nonce and a password, and returns the status.
    fn answers(&self, nonce: &str, password: &str) -> String {
        let hash = |text: String| -> String {
            Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let account = hash(format!("200:lab.example.net:{password}"));
        let request = hash("REGISTER:sip:lab.example.net".to_owned());
        let response = hash(format!("{account}:{nonce}:{request}"));
        let header = format!(
            "Authorization: Digest username=\"{}\",realm=\"lab.example.net\",nonce=\"{nonce}\",\
             uri=\"sip:lab.example.net\",response=\"{response}\",algorithm=MD5\r\n",
            self.user
        );
        self.registers(&header).unwrap().get(8..11).unwrap().to_owned()
    }
}

/// What is read in a line: the source and the outcome, or that it is doubtful or says nothing.
fn shown(line: &str) -> String {
    match Format::Kamailio.read(line.as_bytes()) {
        None => "-".to_owned(),
        Some(Reading::Doubtful(doubt)) => format!("? {:?}", doubt.sources),
        Some(Reading::Attempt(read)) => format!("{} {:?}", read.source, read.outcome),
    }
}

#[test]
fn lines_of_the_snippet_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let Some(kamailio) = Kamailio::start(folder.path()) else {
        return;
    };
    let mut client = Client::at("127.0.0.1", &kamailio);
    let nonce = client.asks();
    let asked = kamailio.lines(1).len();
    assert_eq!(client.answers(&nonce, "wrong"), "401");
    assert_eq!(client.answers(&nonce, "secret"), "200");
    // Another address has the nonce of this one, which counts nowhere else.
    assert_eq!(Client::at("127.0.0.2", &kamailio).answers(&nonce, "wrong"), "401");
    // Texts that would write a source of their own, or fill the line.
    let forged = "nightlatch: src=203.0.113.10 port=1 proto=udp nonce=bound rc=-2 method=a account=b agent=c";
    client.call = format!("a}} <script>: {forged}");
    client.agent = format!("a}} <script>: {forged}");
    client.user = format!("a}} <script>: {forged}");
    client.answers(&nonce, "wrong");
    client.agent = format!("{} src=203.0.113.10", "a".repeat(4000));
    client.user = "a\u{1b}[31m\t\u{fc}\"".to_owned();
    client.answers(&nonce, "wrong");
    client.agent = "scanner".to_owned();
    client.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(client.registers(""), None);

    let lines = kamailio.lines(asked + 6);
    let read: Vec<String> = lines.iter().map(|line| shown(line)).collect();
    let ours = "127.0.0.1";
    assert!(
        read.iter().take(asked).all(|read| *read == format!("{ours} {:?}", Outcome::Challenged))
    );
    let read: Vec<&str> = read.iter().skip(asked).map(String::as_str).collect();
    let expected = [
        "127.0.0.1 WrongPassword",
        "127.0.0.1 Succeeded",
        "-",
        "127.0.0.1 WrongPassword",
        "127.0.0.1 WrongPassword",
        "127.0.0.1 Malformed",
    ];
    assert_eq!(read, expected, "{lines:#?}");
    // In syslog, where no line break makes a line, a wrong password also proves its source.
    let (_, message) = lines.get(asked).unwrap().split_once(") ").unwrap();
    let line = format!("Nov 20 08:36:32 pbx kamailio[7]: {message}");
    let Some(Reading::Attempt(read)) = Format::Kamailio.read(line.as_bytes()) else {
        unreachable!("{line}");
    };
    assert_eq!((read.proof, read.account), (Proof::Answered, Some(b"200".as_slice())));
}
