//! Whoever changes lists over SSH, from an address in no account, is not shut out by the change.

use super::*;

/// Where the administrator is today: in Germany, says the table.
const HOTEL: &str = "192.0.2.20";

/// Runs `nightlatch` in an SSH session from the hotel.
fn from_hotel(nightlatch: &Installation<'_>, code: i32, arguments: &[&str]) -> String {
    let mut command = nightlatch.command(arguments);
    command.env("SSH_CONNECTION", format!("{HOTEL} 40000 198.51.100.1 22"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", told(&output));
    told(&output)
}

#[test]
fn nobody_shuts_himself_out_by_a_list() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, daemon) = open(&stage, "[open]\nservices = [\"sip\", \"ssh\"]\n");
    let comes_in = || nightlatch.run_it(&["why", HOTEL, "--to", "tcp/22"]).status.success();
    let rules = || nightlatch.json(&["country", "list"])["rules"].clone();
    let none = serde_json::json!({ "blocked": [], "only": [] });
    assert!(comes_in());

    // The table is not read before a country is named: the change is taken back when it comes.
    let message = format!("this would lock you out ({HOTEL})");
    for arguments in [&["country", "allow", "US"][..], &["country", "block", "DE", "CN"]] {
        let said = from_hotel(&nightlatch, 1, arguments);
        assert!(said.contains(&message) && said.contains("--force"), "{said}");
        assert!(!said.contains("blocked: "), "{said}");
        assert_eq!(rules(), none);
        assert!(comes_in());
    }
    // With the table at hand it is refused at once.
    from_hotel(&nightlatch, 0, &["country", "block", "CN"]);
    let said = from_hotel(&nightlatch, 1, &["country", "block", "Germany"]);
    assert!(said.contains(&message), "{said}");
    from_hotel(&nightlatch, 1, &["country", "allow", "US"]);
    assert_eq!(rules()["blocked"], serde_json::json!(["CN"]));

    // A feed that names the hotel is in force but for that.
    let list = nightlatch.directory().join("list.txt");
    std::fs::write(&list, "192.0.2.0/25\n").unwrap();
    let list = list.to_str().unwrap();
    let said = from_hotel(&nightlatch, 0, &["feed", "add", "bad", list]);
    assert!(said.contains(&format!("{HOTEL} is your own address")), "{said}");
    assert!(comes_in());
    nightlatch.must_exit(1, &["why", "192.0.2.21", "--to", "tcp/22"]);
    // So it is after a restart, and with the next version, fetched by nobody in particular.
    drop(daemon);
    let _daemon = nightlatch.daemon();
    assert!(comes_in());
    std::fs::write(list, "192.0.2.0/24\n").unwrap();
    nightlatch.must(&["feed", "refresh"]);
    assert!(comes_in());
    nightlatch.must_exit(1, &["why", "192.0.2.150", "--to", "tcp/22"]);

    // A reload that names another table.
    let other = nightlatch.directory().join("other.csv");
    std::fs::write(&other, TABLE.replace("DE", "CN")).unwrap();
    let rest = "[open]\nservices = [\"sip\", \"ssh\"]\n";
    nightlatch.configure(&format!("[countries]\nsource = \"{}\"\n{rest}", other.display()));
    from_hotel(&nightlatch, 0, &["reload"]);
    support::wait_until("the table was read", std::time::Duration::from_secs(5), || {
        nightlatch.json(&["country", "list"])["failed"] == true
    });
    assert!(comes_in());
    let said = from_hotel(&nightlatch, 1, &["country", "refresh"]);
    assert!(said.contains(&message), "{said}");

    // With --force it is done.
    nightlatch.must(&["country", "unblock", "all"]);
    assert!(comes_in());
    from_hotel(&nightlatch, 0, &["country", "block", "CN", "--force"]);
    assert!(!comes_in());
    // With an account, nothing prevents it.
    nightlatch.must(&["allow", "admin", HOTEL]);
    from_hotel(&nightlatch, 0, &["country", "refresh"]);
    assert!(comes_in());
    nightlatch.must(&["remove", "admin"]);
    assert!(!comes_in(), "removed by somebody who sits at the machine");
    nightlatch.must(&["country", "unblock", "CN"]);
    assert!(!comes_in(), "a removed address is denied even services that are open to strangers");
    assert!(nightlatch.must(&["log", "--verify"]).contains("intact"));
}
