//! Up, confirm, rollback, down.

use super::*;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn up(mode: Option<Mode>, trial: Option<Duration>) -> Request {
    put_up(Up {
        mode,
        accounts: vec![account("admin 203.0.113.7 all")],
        site: Site::default(),
        trial,
        ..Up::default()
    })
}

fn off() -> Desk {
    Desk::new(State::default())
}

/// The firewall is up since now, on trial for so many seconds where it is.
fn is_up(desk: &Desk, mode: Mode, trial: Option<u64>) -> features::Reply {
    let trial = trial.map(|seconds| desk.now.after(Duration::from_secs(seconds)));
    firewall::Reply::Up { trial, mode, at: desk.now }.into()
}

/// The account of that name is made.
fn admin() -> features::Reply {
    accounts::Reply::Made { name: "admin".parse().unwrap() }.into()
}

/// What was changed while the firewall was off.
fn began(said: impl IntoIterator<Item = features::Reply>) -> Done {
    Done { stood: false, ..changed(said) }
}

/// A trial is taken back, to a mode or to no firewall.
fn taken_back(to: Option<Mode>) -> Done {
    changed([firewall::Reply::TakenBack { to }.into()])
}

#[test]
fn up_without_a_trial_stays() {
    let mut desk = off();
    let allowlist = is_up(&desk, Mode::Allowlist, None);
    assert_eq!(desk.done(up(None, None)), began([admin(), allowlist.clone()]));
    assert_eq!(desk.cuts, [Flows::BegunByPeers]);
    assert_eq!(desk.log(), ["anna: allow admin", "anna: up allowlist"]);
    assert_eq!(desk.engine.state().posture().protection, Protection::On { since: START });
    assert_eq!(desk.done(up(None, MINUTE)), unchanged([allowlist]));
    // A second one keeps what there is.
    desk.done(allow("office 192.0.2.0/24 sip"));
    desk.done(up(Some(Mode::Open), None));
    assert_eq!(desk.engine.state().accounts.all.len(), 2);
    assert_eq!(desk.engine.state().posture().protection, Protection::On { since: START });
}

#[test]
fn up_without_an_account_says_that_nobody_gets_in() {
    let mut desk = off();
    let none = |mode| {
        let (accounts, site) = (Vec::new(), Site::default());
        put_up(Up { mode: Some(mode), accounts, site, trial: None, ..Up::default() })
    };
    let nobody: features::Reply = accounts::Reply::Nobody.into();
    let allowlist = is_up(&desk, Mode::Allowlist, None);
    let said = [allowlist.clone(), nobody];
    assert_eq!(desk.done(none(Mode::Allowlist)), began(said.clone()));
    assert_eq!(desk.done(none(Mode::Allowlist)), unchanged(said));
    // What is open answers everybody.
    let open = is_up(&desk, Mode::Open, None);
    assert_eq!(desk.done(none(Mode::Open)), changed([open]));
    desk.done(allow("office 203.0.113.7 sip"));
    assert_eq!(desk.done(none(Mode::Allowlist)), changed([allowlist]));
}

#[test]
fn a_trial_is_confirmed() {
    let mut desk = off();
    let on_trial = is_up(&desk, Mode::Allowlist, Some(60));
    assert_eq!(desk.done(up(None, MINUTE)), began([admin(), on_trial]));
    assert!(desk.engine.desired(desk.now).unwrap().structure.trial);
    desk.wait(59);
    assert_eq!(desk.done(confirm()), changed([firewall::Reply::Confirmed.into()]));
    assert!(!desk.engine.desired(desk.now).unwrap().structure.trial);
    assert_eq!(desk.engine.next_deadline(), None);
    assert_eq!(
        desk.refused(RefusalKind::No, confirm()),
        because(firewall::Refusal::NothingToConfirm { stands: true })
    );
    assert_eq!(
        desk.refused(RefusalKind::No, rollback()),
        because(firewall::Refusal::NothingToTakeBack)
    );
}

#[test]
fn a_trial_runs_out() {
    let mut desk = off();
    desk.done(up(None, MINUTE));
    desk.now = desk.now.after(Duration::from_secs(60));
    assert_eq!(desk.refused(RefusalKind::No, confirm()), because(firewall::Refusal::TooLate));
    desk.wait(0);
    assert_eq!(desk.engine.state().posture().protection, Protection::Off);
    assert_eq!(desk.engine.desired(desk.now), None);
    assert_eq!(desk.log()[2..], ["nightlatch: rollback firewall"]);
    assert_eq!(desk.told.last(), Some(&notice(firewall::Notice::NotConfirmed)));
    assert_eq!(
        desk.refused(RefusalKind::No, confirm()),
        because(firewall::Refusal::NothingToConfirm { stands: false })
    );
}

#[test]
fn a_trial_is_taken_back_by_hand_and_when_the_disk_is_full() {
    let mut desk = off();
    let first = desk.engine.state().clone();
    desk.done(up(None, MINUTE));
    assert_eq!(desk.done(rollback()), taken_back(None));
    desk.done(up(None, MINUTE));
    desk.store = Err("database or disk is full".to_owned());
    desk.wait(60);
    assert_eq!(desk.engine.state().posture().protection, Protection::Off);
    // It is written down when there is room again.
    assert_ne!(desk.stored(&first).posture().protection, Protection::Off);
    desk.store = Ok(());
    desk.wait(10);
    assert_eq!(desk.stored(&first), *desk.engine.state());
}

#[test]
fn a_mode_on_trial_goes_back_to_the_mode_before() {
    let mut desk = off();
    desk.done(up(None, None));
    desk.now = desk.now.after(Duration::from_secs(5));
    let on_trial = is_up(&desk, Mode::Open, Some(60));
    assert_eq!(desk.done(up(Some(Mode::Open), MINUTE)), changed([on_trial]));
    // The firewall itself does not open by itself: only the mode is on trial.
    assert!(!desk.engine.desired(desk.now).unwrap().structure.trial);
    assert_eq!(desk.done(rollback()), taken_back(Some(Mode::Allowlist)));
    assert_eq!(desk.engine.state().posture().mode, Mode::Allowlist);
    assert_eq!(desk.engine.state().posture().protection, Protection::On { since: START });
    desk.done(up(Some(Mode::Open), MINUTE));
    desk.wait(60);
    assert_eq!(desk.engine.state().posture().mode, Mode::Allowlist);
    desk.done(up(Some(Mode::Open), MINUTE));
    desk.done(confirm());
    assert_eq!(desk.engine.state().posture().mode, Mode::Open);
    assert_eq!(desk.engine.state().posture().protection, Protection::On { since: START });
}

#[test]
fn up_during_a_trial_begins_the_trial_anew_and_does_not_confirm_it() {
    let mut desk = off();
    desk.done(up(None, MINUTE));
    desk.wait(30);
    desk.done(up(None, MINUTE));
    let until = desk.now.after(Duration::from_secs(60));
    assert_eq!(desk.engine.state().posture().protection.trial_end(), Some(until));
    desk.wait(59);
    assert!(desk.engine.state().posture().protection.stands());
    desk.wait(1);
    assert_eq!(desk.engine.state().posture().protection, Protection::Off);
}

#[test]
fn a_wrong_account_stops_up_as_a_whole() {
    let mut desk = off();
    let mut up = Up {
        mode: None,
        accounts: vec![account("admin 203.0.113.7 all"), account("all 0.0.0.0/0 all")],
        site: Site::default(),
        trial: None,
        ..Up::default()
    };
    desk.refused(RefusalKind::Wrong, put_up(up.clone()));
    up.accounts.pop();
    up.dry_run = true;
    let accounts = accounts::Reply::All(vec![made("admin 203.0.113.7 all")]);
    let said = [admin(), is_up(&desk, Mode::Allowlist, None), accounts.into()];
    let findings = Some(Box::default());
    assert_eq!(desk.done(put_up(up)), Done { findings, ..began(said) });
    assert_eq!(*desk.engine.state(), State::default());
}

#[test]
fn down_keeps_the_accounts() {
    let mut desk = off();
    let off_already = Done { changed: false, ..began([firewall::Reply::OffAlready.into()]) };
    assert_eq!(desk.done(down()), off_already);
    desk.done(up(None, None));
    assert_eq!(desk.done(down()), changed([firewall::Reply::Down.into()]));
    let off = notice(firewall::Notice::Off { by: "anna".to_owned() });
    assert_eq!((off.level(), desk.told.last()), (Level::Warning, Some(&off)));
    assert_eq!(desk.engine.state().accounts.all.len(), 1);
    assert_eq!(desk.engine.desired(desk.now), None);
    // Also in the middle of a trial, and then nothing is left to be taken back.
    desk.done(up(None, MINUTE));
    desk.done(down());
    assert_eq!(desk.engine.next_deadline(), None);
}

#[test]
fn up_names_what_the_server_needs_and_a_block_shuts_out() {
    let mut desk = off();
    // Before the first `up` nobody knows the gateway.
    desk.done(block("198.51.100.0/24"));
    let guarded = vec![(range("198.51.100.254"), "the gateway".to_owned())];
    let done = desk.done(put_up(Up {
        mode: None,
        accounts: Vec::new(),
        site: Site { guarded, ..Site::default() },
        trial: None,
        ..Up::default()
    }));
    let shuts_out = blocks::Reply::ShutsOut {
        guarded: range("198.51.100.254"),
        what: "the gateway".to_owned(),
        range: range("198.51.100.0/24"),
    };
    let nobody = accounts::Reply::Nobody;
    let is_up = is_up(&desk, Mode::Allowlist, None);
    assert_eq!(done, began([is_up, shuts_out.into(), nobody.into()]));
}

/// What `up` has to know of its trial, however soon somebody confirms it.
#[test]
fn the_reply_tells_of_the_trial_and_so_does_a_question() {
    let mut desk = off();
    let reply = |desk: &mut Desk, request| {
        let said = desk.done(request).said;
        let of_up = said.iter().find_map(|reply| match reply {
            features::Reply::Firewall(firewall::Reply::Up { mode, trial, .. }) => {
                Some((*mode, *trial))
            }
            _ => None,
        });
        of_up.unwrap()
    };
    let standing = |desk: &mut Desk| {
        let said = desk.done(Request::of(firewall::Request::Protection)).said;
        match said.into_iter().next().unwrap() {
            features::Reply::Firewall(firewall::Reply::Protection { protection, mode }) => {
                (protection, mode)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(standing(&mut desk), (Protection::Off, Mode::Allowlist));
    let until = desk.now.after(Duration::from_secs(60));
    assert_eq!(reply(&mut desk, up(None, MINUTE)), (Mode::Allowlist, Some(until)));
    assert_eq!(standing(&mut desk).0.trial_end(), Some(until));
    desk.done(confirm());
    assert_eq!(standing(&mut desk).0, Protection::On { since: START });
    // Nothing is risky any more: there is no trial.
    assert_eq!(reply(&mut desk, up(None, MINUTE)), (Mode::Allowlist, None));
    assert_eq!(reply(&mut desk, up(Some(Mode::Open), MINUTE)), (Mode::Open, Some(until)));
    assert_eq!(standing(&mut desk).1, Mode::Open);
}
