//! What is mistyped, contradicted or said twice, and how one finds out.

use std::io::Read as _;
use std::net::TcpListener;

use super::*;

#[test]
fn countries() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let check =
        |arguments: &[&str], code: i32, text: &str| check(&nightlatch, arguments, code, text);
    nightlatch.must(&["country", "allow", "US,CA"]);
    check(
        &["country", "block", "US, DE"],
        1,
        "nightlatch: strangers may connect only from Canada, United States: use \"nightlatch country allow\" with all countries to allow, without United States",
    );
    let said = nightlatch.must_exit(2, &["country", "block", "US,Germny"]);
    assert!(said.contains("\"Germny\"; did you mean Germany"), "{said}");

    nightlatch.must(&["country", "allow", "all"]);
    check(&["country", "unblock", "all"], 1, "nightlatch: no country is blocked");
    nightlatch.must(&["country", "block", "US,DE", "cn"]);
    let said = nightlatch.must_exit(2, &["country", "unblock", "all", "DE"]);
    assert!(
        said.contains("\"all\" cannot be combined with countries: it unblocks every country"),
        "{said}"
    );
    let said = nightlatch.must(&["country", "unblock", "all"]);
    assert!(said.starts_with("no country is blocked\n"), "{said}");
}

#[test]
fn a_table_that_is_not_there() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let check =
        |arguments: &[&str], code: i32, text: &str| check(&nightlatch, arguments, code, text);
    let nowhere = "[countries]\nsource = \"/nowhere/table.csv\"\n";
    nightlatch.configure(nowhere);
    nightlatch.must(&["reload"]);
    // Standard output first, then standard error.
    check(
        &["country", "block", "CN"],
        1,
        "
blocked: strangers from China
table     none
PENDING   no GeoIP table is loaded yet:
FAILED    the last check of the source: /nowhere/table.csv cannot be read: No such file or directory (os error 2)
WARNING   without a table no country is blocked; set [countries] source in the configuration",
    );
    // One that is in force is not said to be of a source that gave none.
    let table = nightlatch.directory().join("table.csv");
    nightlatch.configure(&format!("[countries]\nsource = \"{}\"\n", table.display()));
    nightlatch.must(&["reload"]);
    nightlatch.must(&["country", "refresh"]);
    nightlatch.configure(nowhere);
    nightlatch.must(&["reload"]);
    check(
        &["country", "refresh"],
        1,
        "
table     5 ranges, read AGO
FAILED    the last check of the source: /nowhere/table.csv cannot be read: No such file or directory (os error 2)",
    );
}

#[test]
fn feeds() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let check =
        |arguments: &[&str], code: i32, text: &str| check(&nightlatch, arguments, code, text);
    // A path is meant from where one stands. For a mistyped one nothing is added.
    check(
        &["feed", "add", "bad", "bad.txt"],
        2,
        "nightlatch: DIR/bad.txt does not exist: nothing is added",
    );
    assert_eq!(nightlatch.json(&["feed", "list"]), serde_json::json!([]));
    // What fails otherwise is told, and stays to be tried again, or to be corrected.
    check(
        &["feed", "add", "bad", "http://127.0.0.1:1/bad.txt"],
        1,
        "feed \"bad\" FAILED: cannot connect to http://127.0.0.1:1/bad.txt: Connection refused (os error 111); check this machine's network and DNS resolver; no entries are active; it is retried until you correct it with \"nightlatch feed add bad ...\" or remove it with \"nightlatch feed remove bad\"",
    );
    let status = nightlatch.must(&["status"]);
    assert!(status.contains("DNS resolver, and no entries are active"), "{status}");
    std::fs::write(nightlatch.directory().join("bad.txt"), LIST).unwrap();
    check(&["feed", "add", "bad", "bad.txt"], 0, "feed \"bad\": 3 entries (TIME)");
    // Encryption asked of a server that has none.
    let plain = stage.host("server").unwrap().run(|| TcpListener::bind("127.0.0.1:0"));
    let plain = plain.unwrap().unwrap();
    let url = format!("https://{}/list", plain.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let said = nightlatch.must_exit(1, &["feed", "add", "plain", &url]);
    answering.join().unwrap();
    assert!(said.contains("the server does not speak TLS; is the address http://?"), "{said}");
    let file = nightlatch.directory().join("bad.txt");
    let twin = nightlatch.must(&["feed", "add", "twin", file.to_str().unwrap()]);
    assert!(twin.contains("\nfeed \"bad\" has the same source\n"), "{twin}");
    let shown = nightlatch.must(&["feed", "show", "bad"]);
    for line in [
        &format!("source    {}", file.display()),
        "format    auto",
        "entries   2 of IPv4, 1 of IPv6",
        "packets   0 dropped, 0 of them by no other list",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(shown.contains("ago: 3 entries; next check in 4m "), "{shown}");
    assert_eq!(nightlatch.json(&["feed", "show", "bad"])["feed"]["name"], "bad");
    check(
        &["feed", "show", "bda"],
        1,
        "nightlatch: there is no feed \"bda\": \"nightlatch feed list\" shows all of them",
    );
}
