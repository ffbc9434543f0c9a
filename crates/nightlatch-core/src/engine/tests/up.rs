//! Up, confirm, rollback, down.

use super::*;
use crate::api::Up;
use crate::pbx::PbxPeers;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn up(mode: Option<Mode>, trial: Option<Duration>) -> Request {
    Request::Up(Up {
        mode,
        accounts: vec![account("admin 203.0.113.7 all")],
        site: Site::default(),
        trial,
        dry_run: false,
        pbx: PbxPeers::default(),
    })
}

fn off() -> Desk {
    Desk::new(Ledger::default())
}

#[test]
fn up_without_a_trial_stays() {
    let mut desk = off();
    assert_eq!(desk.done(up(None, None)), "the firewall is up in mode allowlist");
    assert_eq!(desk.cuts, [Flows::BegunByPeers]);
    assert_eq!(desk.log(), ["anna: allow admin", "anna: up allowlist"]);
    assert_eq!(desk.engine.ledger().protection, Protection::On { since: START });
    assert_eq!(
        desk.done(up(None, MINUTE)),
        "the firewall is up already, and nothing has to change"
    );
    // A second one keeps what there is.
    desk.done(allow("office 192.0.2.0/24 sip"));
    desk.done(up(Some(Mode::Open), None));
    assert_eq!(desk.engine.ledger().accounts.len(), 2);
    assert_eq!(desk.engine.ledger().protection, Protection::On { since: START });
}

#[test]
fn up_without_an_account_says_that_nobody_gets_in() {
    let mut desk = off();
    let none = |mode| {
        let (accounts, site) = (Vec::new(), Site::default());
        Request::Up(Up {
            mode: Some(mode),
            accounts,
            site,
            trial: None,
            dry_run: false,
            pbx: PbxPeers::default(),
        })
    };
    let nobody = "\nattention: NOBODY from outside gets in, you neither: there is no account yet; \"nightlatch allow NAME ADDRESS\" makes one";
    assert_eq!(
        desk.done(none(Mode::Allowlist)),
        format!("the firewall is up in mode allowlist{nobody}")
    );
    assert_eq!(
        desk.done(none(Mode::Allowlist)),
        format!("the firewall is up already, and nothing has to change{nobody}")
    );
    // What is open answers everybody.
    assert_eq!(desk.done(none(Mode::Open)), "the firewall is up in mode open");
    desk.done(allow("office 203.0.113.7 sip"));
    assert_eq!(desk.done(none(Mode::Allowlist)), "the firewall is up in mode allowlist");
}

#[test]
fn a_trial_is_confirmed() {
    let mut desk = off();
    assert_eq!(
        desk.done(up(None, MINUTE)),
        "the firewall is up in mode allowlist, on trial: in 1m it is taken back unless you run \"nightlatch confirm\""
    );
    assert!(desk.engine.desired(desk.now).unwrap().structure.trial);
    desk.wait(59);
    assert_eq!(desk.done(Request::Confirm), "confirmed: the firewall stays");
    assert!(!desk.engine.desired(desk.now).unwrap().structure.trial);
    assert_eq!(desk.engine.next_deadline(), None);
    assert_eq!(
        desk.refused(RefusalKind::No, Request::Confirm),
        "there is nothing to confirm: the firewall is up and stays"
    );
    assert_eq!(
        desk.refused(RefusalKind::No, Request::Rollback),
        "there is nothing to take back: no unconfirmed change is on; \"nightlatch down\" takes the firewall off"
    );
}

#[test]
fn a_trial_runs_out() {
    let mut desk = off();
    desk.done(up(None, MINUTE));
    desk.now = desk.now.after(Duration::from_secs(60));
    assert_eq!(
        desk.refused(RefusalKind::No, Request::Confirm),
        "too late: the firewall is being taken back; \"nightlatch up\" puts it up again"
    );
    desk.wait(0);
    assert_eq!(desk.engine.ledger().protection, Protection::Off);
    assert_eq!(desk.engine.desired(desk.now), None);
    assert_eq!(desk.log()[2..], ["nightlatch: rollback firewall"]);
    assert_eq!(desk.told.last().unwrap().1, "not confirmed in time: the firewall is taken back");
    assert_eq!(
        desk.refused(RefusalKind::No, Request::Confirm),
        "there is nothing to confirm: the firewall is not up (or was taken back already); \"nightlatch up\" puts it up"
    );
}

#[test]
fn a_trial_is_taken_back_by_hand_and_when_the_disk_is_full() {
    let mut desk = off();
    let first = desk.engine.ledger().clone();
    desk.done(up(None, MINUTE));
    assert_eq!(desk.done(Request::Rollback), "taken back: the firewall is off, as it was before");
    desk.done(up(None, MINUTE));
    desk.store = Err("database or disk is full".to_owned());
    desk.wait(60);
    assert_eq!(desk.engine.ledger().protection, Protection::Off);
    // It is written down when there is room again.
    assert_ne!(desk.stored(&first).protection, Protection::Off);
    desk.store = Ok(());
    desk.wait(10);
    assert_eq!(desk.stored(&first), *desk.engine.ledger());
}

#[test]
fn a_mode_on_trial_goes_back_to_the_mode_before() {
    let mut desk = off();
    desk.done(up(None, None));
    desk.now = desk.now.after(Duration::from_secs(5));
    assert_eq!(
        desk.done(up(Some(Mode::Open), MINUTE)),
        "the firewall is up in mode open, on trial: in 1m it is taken back unless you run \"nightlatch confirm\""
    );
    // The firewall itself does not open by itself: only the mode is on trial.
    assert!(!desk.engine.desired(desk.now).unwrap().structure.trial);
    assert_eq!(desk.done(Request::Rollback), "taken back: the mode is allowlist again");
    assert_eq!(desk.engine.ledger().mode, Mode::Allowlist);
    assert_eq!(desk.engine.ledger().protection, Protection::On { since: START });
    desk.done(up(Some(Mode::Open), MINUTE));
    desk.wait(60);
    assert_eq!(desk.engine.ledger().mode, Mode::Allowlist);
    desk.done(up(Some(Mode::Open), MINUTE));
    desk.done(Request::Confirm);
    assert_eq!(desk.engine.ledger().mode, Mode::Open);
    assert_eq!(desk.engine.ledger().protection, Protection::On { since: START });
}

#[test]
fn up_during_a_trial_begins_the_trial_anew_and_does_not_confirm_it() {
    let mut desk = off();
    desk.done(up(None, MINUTE));
    desk.wait(30);
    desk.done(up(None, MINUTE));
    let until = desk.now.after(Duration::from_secs(60));
    assert_eq!(desk.engine.ledger().protection.trial_end(), Some(until));
    desk.wait(59);
    assert!(desk.engine.ledger().protection.stands());
    desk.wait(1);
    assert_eq!(desk.engine.ledger().protection, Protection::Off);
}

#[test]
fn a_wrong_account_stops_up_as_a_whole() {
    let mut desk = off();
    let mut up = Up {
        mode: None,
        accounts: vec![account("admin 203.0.113.7 all"), account("all 0.0.0.0/0 all")],
        site: Site::default(),
        trial: None,
        dry_run: false,
        pbx: PbxPeers::default(),
    };
    desk.refused(RefusalKind::Wrong, Request::Up(up.clone()));
    up.accounts.pop();
    up.dry_run = true;
    assert_eq!(desk.done(Request::Up(up)), "the firewall is up in mode allowlist");
    assert_eq!(*desk.engine.ledger(), Ledger::default());
}

#[test]
fn down_keeps_the_accounts() {
    let mut desk = off();
    assert_eq!(desk.done(Request::Down), "the firewall is off already");
    desk.done(up(None, None));
    assert_eq!(
        desk.done(Request::Down),
        "the firewall is off: every service of this machine answers everybody again; accounts are kept, \"nightlatch up\" puts it up again"
    );
    assert_eq!(desk.engine.ledger().accounts.len(), 1);
    assert_eq!(desk.engine.desired(desk.now), None);
    // Also in the middle of a trial, and then nothing is left to be taken back.
    desk.done(up(None, MINUTE));
    desk.done(Request::Down);
    assert_eq!(desk.engine.next_deadline(), None);
}

#[test]
fn up_names_what_the_server_needs_and_a_block_shuts_out() {
    let mut desk = off();
    // Before the first `up` nobody knows the gateway.
    desk.done(block("198.51.100.0/24"));
    let guarded = vec![(range("198.51.100.254"), "the gateway".to_owned())];
    let message = desk.done(Request::Up(Up {
        mode: None,
        accounts: Vec::new(),
        site: Site { guarded, ..Site::default() },
        trial: None,
        dry_run: false,
        pbx: PbxPeers::default(),
    }));
    assert_eq!(
        message.lines().nth(1),
        Some(
            "attention: 198.51.100.254, the gateway, is shut out by a block: \"nightlatch unblock 198.51.100.0/24\""
        )
    );
}
