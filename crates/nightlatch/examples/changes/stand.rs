//! A running daemon on a host of its own, with accounts and a list.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightlatch_core::features::accounts::{Account, Entry};
use nightlatch_core::service::Grant;
use nightlatch_core::time::Time;
use nightlatch_lab::stage::{Host, SERVER, Stage};
use rusqlite::{Connection, params};

use crate::TIMEOUT;
use crate::client::Client;
use crate::networks::{self, Mix};
use crate::place::{self, Daemon, Place};
use crate::whole::when_whole;

/// How much a list of this benchmark has.
const NETWORKS: u32 = 600_000;
/// The name of the feed.
const FEED: &str = "networks";

/// What the daemon has to hold.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) accounts: usize,
    /// In each account.
    pub(crate) addresses: usize,
    /// Whether there is a feed as well, and the mode is the open one, in which feeds matter.
    pub(crate) listed: bool,
}

/// One account of ten addresses.
pub(crate) const SMALL: Load = Load { accounts: 1, addresses: 10, listed: false };
/// 100,000 addresses in 100 accounts.
pub(crate) const LARGE: Load = Load { accounts: 100, addresses: 1_000, listed: false };

/// The daemon at work.
pub(crate) struct Stand<'a> {
    pub(crate) server: &'a Host,
    place: &'a Place<'a>,
    daemon: Daemon,
    load: Load,
}

/// Starts a program's daemon with that load, and ends it after `work`.
pub(crate) fn with<T>(program: &Path, load: Load, work: impl FnOnce(&Stand<'_>) -> T) -> T {
    let stage = Stage::standard().unwrap();
    let server = stage.host(SERVER).unwrap();
    let place = Place::new(program, server);
    let before = place.daemon();
    place.must(&["up", "--yes", "--mode", if load.listed { "open" } else { "allowlist" }]);
    before.kill();
    write_accounts(&place, load);
    let daemon = place.daemon();
    let stand = Stand { server, place: &place, daemon, load };
    stand.when_whole(Duration::from_millis(100));
    if load.listed {
        stand.write_list(false);
        place.must(&["feed", "add", FEED, stand.list().to_str().unwrap()]);
    }
    // What the daemon does after a change is not what is measured.
    std::thread::sleep(Duration::from_secs(2));
    work(&stand)
}

/// Writes accounts into the database, as requests for as many would take minutes.
fn write_accounts(place: &Place<'_>, load: Load) {
    let path = place.folder().join("state/nightlatch.db");
    let mut connection = Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    let command = "INSERT INTO records (feature, key, body) VALUES ('accounts', ?1, ?2)";
    // A program to compare with may have a layout from before.
    let mut insert = transaction.prepare(command).unwrap_or_else(|_| {
        transaction.prepare("INSERT INTO accounts (name, body) VALUES (?1, ?2)").unwrap()
    });
    for number in 0..load.accounts {
        let account = account(number, load.addresses);
        let body = serde_json::to_string(&account).unwrap();
        insert.execute(params![account.name.as_str(), body]).unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
}

/// An account for signalling, by its number.
pub(crate) fn account(number: usize, addresses: usize) -> Account {
    let first = number * addresses;
    let address = |number| std::net::IpAddr::from(place::address(number));
    Account {
        allow_private: false,
        hours: None,
        name: format!("account-{number}").parse().unwrap(),
        entries: (first..first + addresses)
            .map(|number| Entry::Range(address(number).into()))
            .collect(),
        services: Grant::parse("sip").unwrap(),
        until: None,
        note: String::new(),
        since: Time::from_millis(0),
        by: "root".to_owned(),
    }
}

impl Stand<'_> {
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket())
    }

    /// A folder for files, which ends with the daemon.
    pub(crate) fn folder(&self) -> &Path {
        self.place.folder()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.place.folder().join("run/control.sock")
    }

    /// The daemon's process.
    pub(crate) fn process(&self) -> u32 {
        self.daemon.id()
    }

    /// Waits until all accounts are in the kernel.
    pub(crate) fn when_whole(&self, pause: Duration) -> std::time::Instant {
        let addresses = self.load.accounts * self.load.addresses;
        self.server.run(|| when_whole(addresses, pause, TIMEOUT)).unwrap()
    }

    /// Replaces the feed's file: all networks are others where `changed`.
    pub(crate) fn write_list(&self, changed: bool) {
        let new = self.place.folder().join("new");
        networks::write(File::create(&new).unwrap(), NETWORKS, Mix::Usual, |_| changed);
        std::fs::rename(new, self.list()).unwrap();
    }

    fn list(&self) -> PathBuf {
        self.place.folder().join("list")
    }

    /// Brings the feed's file into force, and waits for that. Whether it succeeded.
    pub(crate) fn refresh(&self) -> bool {
        let mut command = self.place.command();
        command.args(["feed", "refresh", FEED, "--force"]).output().unwrap().status.success()
    }

    /// `nft flush ruleset` by somebody else.
    pub(crate) fn flush(&self) {
        let flush = self.server.command("nft").args(["flush", "ruleset"]).status().unwrap();
        assert!(flush.success());
    }
}
