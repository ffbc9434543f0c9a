//! Keys of feeds go to the server they are meant for, and nowhere else.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::fetch::server::Server;

/// It has letters that are escaped in an address.
const KEY: &str = "k3y-5ecret/x+7";
/// What no text may hold: the beginning of the key, and its end as it is and escaped.
const PARTS: [&str; 3] = ["k3y-", "5ecret", "x%2B7"];

fn assert_clean(what: &str, text: &str) {
    for part in PARTS {
        assert!(!text.contains(part), "{what} tells the key: {text}");
    }
}

/// Every file below a folder but the key's own.
fn assert_folder_clean(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_folder_clean(&path);
        } else if path.is_file() && !path.ends_with("feed.key") {
            let bytes = std::fs::read(&path).unwrap();
            assert_clean(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_key_is_told_to_nobody_else() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let server = stage.host("server").unwrap();
    let elsewhere = server.run(|| Server::sending("HTTP/1.1 403 No\r\n\r\n")).unwrap();
    let away = elsewhere.url("/elsewhere");
    let web = server.run(|| {
        Server::start(move |question, stream| {
            let path = question.path.rsplit('/').next().unwrap_or_default();
            let body = match path {
                "good" => format!("{LIST}the key {KEY} is valid until tomorrow\n"),
                "bad" => format!("the key {KEY} is not valid\n"),
                _ => String::new(),
            };
            let head = match path {
                "missing" => "404 Not Found\r\n".to_owned(),
                "forbidden" => "403 Forbidden\r\n".to_owned(),
                "away" => format!("302 Found\r\nLocation: {away}\r\n"),
                "mirror" => format!("302 Found\r\nLocation: gopher://x.example/{KEY}\r\n"),
                _ => "200 OK\r\nETag: \"1\"\r\n".to_owned(),
            };
            write!(stream, "HTTP/1.1 {head}Content-Length: {}\r\n\r\n{body}", body.len())
        })
    });
    let web = web.unwrap();
    let file = nightlatch.directory().join("feed.key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let allow = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(0o600);
    let add = |name: &str, code: i32| {
        let url = web.url(&format!("/${{key}}/{name}"));
        let header = "Authorization: Bearer ${key}";
        let key_file = file.to_str().unwrap();
        let arguments = ["feed", "add", name, &url, "--header", header, "--key-file", key_file];
        let said = nightlatch.must_exit(code, &arguments);
        assert_clean(name, &said);
        said
    };
    let said = add("good", 0);
    assert!(
        said.contains("3 entries") && said.contains("read: \"the key ${key} is valid"),
        "{said}"
    );
    let question = web.questions().remove(0);
    assert_eq!(question.path, "/k3y-5ecret%2Fx%2B7/good");
    assert_eq!(question.header("authorization"), Some("Bearer k3y-5ecret/x+7"));
    for (name, message) in [
        ("bad", "${key}"),
        ("missing", "answered 404 (not found)"),
        ("forbidden", "check the key"),
        ("away", "403"),
        ("mirror", "which is not followed"),
    ] {
        let said = add(name, 1);
        assert!(said.contains(message), "{name}: {said}");
    }
    // The other server got a question, and no more.
    let question = elsewhere.questions().remove(0);
    assert_eq!((question.path.as_str(), question.header("authorization")), ("/elsewhere", None));
    assert_clean("the question to the other server", &format!("{question:?}"));

    // A key that everybody may read is not used; one that is written out is not taken.
    allow(0o644);
    assert!(add("open-key", 1).contains("chmod 600"));
    allow(0o600);
    let url = web.url("/good");
    for arguments in [
        ["feed", "add", "x", &url, "--header", &format!("X-Api-Key: {KEY}")],
        ["feed", "add", "x", &format!("{url}?token={KEY}"), "--every", "1h"],
        ["feed", "add", "x", "http://me:k3y-5ecret@127.0.0.1/", "--every", "1h"],
    ] {
        assert_clean("a refusal", &nightlatch.must_exit(2, &arguments));
    }

    nightlatch.must_exit(1, &["feed", "refresh"]);
    for arguments in [
        &["feed", "list"][..],
        &["feed", "list", "--json"],
        &["feed", "refresh", "--json"],
        &["status"],
        &["status", "--json"],
        &["why", "192.0.2.161", "--json"],
        &["log"],
        &["log", "--json"],
        &["log", "--csv"],
        &["feed", "remove", "good", "--json"],
    ] {
        assert_clean(&format!("{arguments:?}"), &told(&nightlatch.run_it(arguments)));
    }
    // What the daemon told the journal, its database, the kept lists.
    assert_clean("the journal", &nightlatch.log());
    assert!(nightlatch.log().contains("missing"), "{}", nightlatch.log());
    assert_folder_clean(nightlatch.directory());
}
