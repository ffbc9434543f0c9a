//! Sequences that somebody thought of who wanted the engine to fail.

use super::*;
use crate::signalling::LearnedBy;

/// The parts of one request.
fn together(requests: impl IntoIterator<Item = features::Request>) -> Ask {
    Ask { requests: requests.into_iter().collect(), ..Ask::default() }
}

/// Anna came from the address of an account.
fn at_home() -> Desk {
    let mut desk = Desk::on();
    desk.done(allow("admin 203.0.113.7 all"));
    desk.caller = anna_from("203.0.113.7");
    desk
}

fn remove_admin() -> features::Request {
    accounts::Request::Remove { name: "admin".parse().unwrap() }.into()
}

/// A trial takes back the mode, not the account that was removed with it.
#[test]
fn a_trial_spares_only_what_it_takes_back() {
    let mut desk = at_home();
    let trial = Some(Duration::from_secs(60));
    let up = |mode| firewall::Up { mode, trial, site: Site::default(), pbx: PbxPeers::default() };
    let up = |mode| features::Request::from(firewall::Request::Up(up(Some(mode))));
    let ask = together([remove_admin(), up(Mode::Open)]);
    assert_eq!(desk.refused(RefusalKind::No, Request::Do(ask)), locked_out("203.0.113.7"));
    let ask = together([up(Mode::Open)]);
    assert!(desk.done(Request::Do(ask)).changed);
}

#[test]
fn whoever_names_no_session_has_one_all_the_same() {
    let mut desk = at_home();
    let ask = Ask { probe: Some(Box::default()), ..together([remove_admin()]) };
    assert_eq!(desk.refused(RefusalKind::No, Request::Do(ask)), locked_out("203.0.113.7"));
}

/// Behind NAT, a person comes from the gateway's address.
#[test]
fn whoever_comes_through_the_gateway_is_kept_too() {
    let mut desk = Desk::on();
    desk.done(allow("admin 198.51.100.254 all"));
    desk.caller = anna_from("198.51.100.254");
    assert_eq!(desk.refused(RefusalKind::No, remove("admin")), locked_out("198.51.100.254"));
}

#[test]
fn a_question_may_be_asked_as_a_dry_run() {
    let mut desk = Desk::on();
    let ask = Ask { dry_run: true, ..together([accounts::Request::List.into()]) };
    let done = desk.done(Request::Do(ask));
    assert!(done.findings.is_some() && !done.changed, "{done:?}");
}

/// A name may be so long that no number fits behind it.
#[test]
fn the_second_account_of_a_long_name_is_made() {
    let mut desk = Desk::on();
    let name = "x".repeat(64);
    desk.done(allow(&format!("{name} 203.0.113.8 all")));
    let admin = Some(account(&format!("{name} 203.0.113.7 all")));
    desk.done(put_up(Up { admin, ..Up::default() }));
    let names: Vec<String> =
        desk.engine.state().accounts.all.keys().map(ToString::to_string).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("x-2")), "{names:?}");
}

/// In open mode with a web page for strangers, a phone still needs an account.
#[test]
fn denials_stay_in_mode_open_where_signalling_is_closed() {
    let mut desk = Desk::on();
    let config = Config::read("[open]\nservices = [\"web\"]\n").unwrap();
    let _ = desk.engine.configure(config);
    let contact = super::peers::contact("1002", "203.0.113.200", true);
    desk.feed(super::peers::answered(vec![contact]));
    let denied = |desk: &Desk| desk.engine.state().denials.all.len();
    assert_eq!(denied(&desk), 1);
    desk.done(mode(Mode::Open));
    assert_eq!(denied(&desk), 1);
}

/// The kernel's answer may be older than the removal of the table.
#[test]
fn nothing_is_learned_after_down() {
    let mut desk = Desk::on();
    desk.done(down());
    let peer = Peer {
        address: "203.0.113.70".parse().unwrap(),
        port: 5060,
        local_port: 5060,
        by: LearnedBy::Called,
    };
    desk.feed(read([(peer, desk.now.after(Duration::from_secs(3600)))]));
    assert_eq!(desk.engine.learned().at(desk.now).count(), 0);
}
