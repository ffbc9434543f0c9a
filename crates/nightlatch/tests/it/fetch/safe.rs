//! https, with a real server (`openssl s_server`).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::support::installed;

/// `openssl s_server` with a certificate for 127.0.0.1, sending the files of its folder as whole
/// answers; ended when dropped.
struct SafeServer {
    child: Child,
    port: u16,
}

impl Drop for SafeServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SafeServer {
    fn start(folder: &Path) -> SafeServer {
        let mut child = Command::new("openssl")
            .args(["s_server", "-HTTP", "-accept", "127.0.0.1:0"])
            .args(["-cert", "server.pem", "-key", "server.key"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok())
            .unwrap();
        // The rest is read away, so that the server never waits for a reader.
        std::thread::spawn(move || lines.count());
        SafeServer { child, port }
    }

    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }
}

/// An authority and a server's certificate by it.
fn make_certificates(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for arguments in [
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -days 2 \
         -keyout authority.key -out authority.pem",
        "req -new -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial \
         -days 2 -extfile names -out server.pem",
    ] {
        let output = Command::new("openssl")
            .args(arguments.split_ascii_whitespace())
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    }
}

#[test]
fn https() {
    if !installed(&["openssl"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    make_certificates(folder);
    let plain = Server::with_body("", LIST);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{LIST}", LIST.len());
    std::fs::write(folder.join("list"), answer).unwrap();
    std::fs::write(
        folder.join("short"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{LIST}"),
    )
    .unwrap();
    let answer =
        |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    std::fs::write(folder.join("down"), answer(&plain.url("/"))).unwrap();
    std::fs::write(folder.join("same"), answer("/list")).unwrap();
    let server = SafeServer::start(folder);
    let trusted = |path: &str| Source {
        address: server.url(path),
        authority: Some(folder.join("authority.pem")),
        ..Source::default()
    };
    let ask = |source: &Source| read(source, &Version::default(), &limits());
    for path in ["/list", "/same"] {
        let Ok(Fetched::New(new)) = ask(&trusted(path)) else {
            panic!("{path}: {:?}", ask(&trusted(path)));
        };
        assert_eq!(shown(&new), EXPECTED, "{path}");
    }
    let error = ask(&trusted("/short")).unwrap_err();
    assert!(matches!(error, FetchError::CutOff { .. }), "{error}");
    let error = ask(&trusted("/down")).unwrap_err().to_string();
    assert!(error.contains("from https to http"), "{error}");
    assert_eq!(plain.questions().len(), 0);
    // Not trusted without being named.
    let error = ask(&source(&server.url("/list"))).unwrap_err();
    assert!(
        error.to_string().contains("the TLS certificate is not trusted: invalid peer certificate"),
        "{error}"
    );
    // And https to a server that speaks http only.
    let address = plain.url("/").replace("http:", "https:");
    assert!(matches!(ask(&source(&address)).unwrap_err(), FetchError::Connect { .. }));
    let bad = Source { authority: Some(folder.join("names")), ..trusted("/list") };
    assert!(ask(&bad).unwrap_err().to_string().contains("no certificate"));
}
