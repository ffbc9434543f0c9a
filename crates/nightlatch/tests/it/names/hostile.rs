//! Name servers that are silent, slow or lie.

use std::time::Duration;

use super::ground::{FIRST, Liar, TIMEOUT, addresses, answer, has, of_name, protect, stage};
use crate::support::{now, wait_until};

#[test]
fn a_name_server_that_does_not_answer_delays_nothing() {
    let Some(stage) = stage() else {
        return;
    };
    let silent = Liar::on(&stage, Box::new(|_| Vec::new()));
    let (nightlatch, daemon) = protect(&stage, &format!("nameserver {FIRST}\\n"));
    let takes = |arguments: &[&str]| {
        let start = now();
        nightlatch.must(arguments);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{arguments:?} took {:?}",
            start.elapsed()
        );
    };
    for number in 0..20 {
        takes(&["allow", &format!("a{number}"), &format!("h{number}.example.net")]);
    }
    wait_until("it is asked", TIMEOUT, || *silent.asked.lock().unwrap() > 20);
    takes(&["allow", "plain", "203.0.113.7"]);
    takes(&["why", "203.0.113.7"]);
    takes(&["status"]);
    takes(&["remove", "plain"]);
    daemon.kill();
    let start = now();
    let _daemon = nightlatch.daemon();
    assert!(start.elapsed() < Duration::from_secs(10), "the start took {:?}", start.elapsed());
    takes(&["allow", "plain", "203.0.113.7"]);
    let list = ["list", "table", "inet", "nightlatch"];
    let server = stage.host("server").unwrap();
    let start = now();
    assert!(
        server
            .command("nft")
            .args(["delete", "table", "inet", "nightlatch"])
            .status()
            .unwrap()
            .success()
    );
    wait_until("the table is restored", Duration::from_secs(5), || {
        server.command("nft").args(list).output().unwrap().status.success()
    });
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn without_name_servers_the_stored_addresses_are_loaded_at_boot() {
    let Some(stage) = stage() else {
        return;
    };
    let knows =
        Liar::on(&stage, Box::new(|query| vec![(Duration::ZERO, answer(query, [203, 0, 113, 7]))]));
    let (nightlatch, daemon) = protect(&stage, &format!("nameserver {FIRST}\\n"));
    nightlatch.must(&["allow", "a", "a.example.net"]);
    has(&nightlatch, "a.example.net", &["203.0.113.7"], TIMEOUT);
    daemon.kill();
    drop(knows);
    let server = stage.host("server").unwrap();
    let nft = |arguments: &[&str]| server.command("nft").args(arguments).output().unwrap();
    assert!(nft(&["delete", "table", "inet", "nightlatch"]).status.success());
    // The early unit.
    nightlatch.must(&["boot"]);
    let table = String::from_utf8(nft(&["list", "table", "inet", "nightlatch"]).stdout).unwrap();
    assert!(table.contains("203.0.113.7"), "{table}");
    let _daemon = nightlatch.daemon();
    let why = nightlatch.json(&["why", "203.0.113.7", "--to", "udp/5060"]);
    assert_eq!(why["passes"], true, "{why}");
    wait_until("it fails", TIMEOUT * 2, || {
        !of_name(&nightlatch, "a.example.net")["failing_v4"].is_null()
    });
    assert_eq!(addresses(&nightlatch, "a.example.net"), ["203.0.113.7"]);
}

#[test]
fn lies_are_refused_and_the_right_answer_counts_however_late() {
    let Some(stage) = stage() else {
        return;
    };
    let behaviour = |query: &[u8]| {
        let name = String::from_utf8_lossy(query).into_owned();
        let now = Duration::ZERO;
        let right = answer(query, [203, 0, 113, 7]);
        let mut guess = answer(query, [203, 0, 113, 66]);
        let says = |part: &str| name.contains(part);
        if says("forged") {
            // Whoever guesses has neither the number of the query nor its name.
            guess[0] ^= 0xff;
            let mut other = answer(query, [203, 0, 113, 66]);
            other[13] ^= 1;
            let late = Duration::from_millis(300);
            vec![
                (now, guess),
                (now, other),
                (now, vec![0; 3]),
                (now, query.to_vec()),
                (late, right),
            ]
        } else if says("late") {
            vec![(Duration::from_millis(1_500), right)]
        } else if says("private") {
            vec![(now, answer(query, [10, 0, 0, 7]))]
        } else if says("own") {
            vec![(now, answer(query, [198, 51, 100, 1]))]
        } else if says("loop") {
            vec![(now, answer(query, [127, 0, 0, 1]))]
        } else if says("cut") {
            let mut cut = right;
            cut.truncate(cut.len() - 2);
            vec![(now, cut)]
        } else {
            vec![(now, right)]
        }
    };
    let _dns = Liar::on(&stage, Box::new(behaviour));
    // The first name server refuses connections, the second one answers.
    let text = format!("nameserver 198.51.100.254\\nnameserver {FIRST}\\n");
    let (nightlatch, _daemon) = protect(&stage, &text);
    let names = ["forged", "late", "private", "own", "loop", "cut", "plain"];
    for name in names {
        nightlatch.must(&["allow", name, &format!("{name}.example.net")]);
    }
    for name in ["forged", "late", "plain"] {
        has(&nightlatch, &format!("{name}.example.net"), &["203.0.113.7"], TIMEOUT);
    }
    for (name, why) in [("private", "private"), ("own", "own"), ("loop", "loopback")] {
        let name = format!("{name}.example.net");
        wait_until(&name, TIMEOUT, || of_name(&nightlatch, &name)["refused"][0]["why"] == why);
        assert!(addresses(&nightlatch, &name).is_empty());
    }
    wait_until("the damaged answer", TIMEOUT, || {
        of_name(&nightlatch, "cut.example.net")["failing_v4"]["why"] == "malformed"
    });
    let status = nightlatch.must(&["status"]);
    assert!(status.contains("10.0.0.7 (private)"), "{status}");
    // A name server of one's own may name private addresses.
    nightlatch.must(&["allow", "split", "private.example.net", "--allow-private"]);
    has(&nightlatch, "private.example.net", &["10.0.0.7"], TIMEOUT);
}
