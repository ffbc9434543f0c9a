//! What `up` asks the engine.

use nightlatch_core::api::{Ask, Request};
use nightlatch_core::features::accounts::{self, NewAccount};
use nightlatch_core::features::{self, firewall};
use nightlatch_core::probe::{Probe, SshCaller};

/// What `up` asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The account of whoever asks.
    pub(super) admin: Option<NewAccount>,
    /// Accounts to make where no account of that name exists.
    pub(super) accounts: Vec<NewAccount>,
    /// The firewall.
    pub(super) up: firewall::Up,
    /// Whose session must not end.
    pub(super) caller: Option<SshCaller>,
}

impl Wanted {
    /// To do it.
    pub(super) fn real(&self) -> Request {
        let probe = Probe { caller: self.caller, ..Probe::default() };
        Request::Do(Ask { probe: Some(Box::new(probe)), ..self.ask() })
    }

    /// To say what would happen; also which accounts there will be, where `accounts` says so.
    pub(super) fn dry_run(&self, probe: Probe, accounts: bool) -> Request {
        let mut ask = Ask { dry_run: true, probe: Some(Box::new(probe)), ..self.ask() };
        ask.requests.extend(accounts.then(|| accounts::Request::List.into()));
        Request::Do(ask)
    }

    /// The firewall, and nothing besides.
    #[cfg(test)]
    pub(super) fn nothing_but_up() -> Wanted {
        use nightlatch_core::{pbx::PbxPeers, posture::Site};
        let (site, pbx) = (Site::default(), PbxPeers::default());
        let up = firewall::Up { mode: None, site, trial: None, pbx };
        Wanted { admin: None, accounts: Vec::new(), up, caller: None }
    }

    fn ask(&self) -> Ask {
        let admin = self.admin.iter().cloned().map(accounts::Request::Admin);
        let others = self.accounts.iter().cloned().map(accounts::Request::Ensure);
        let mut requests: Vec<features::Request> = admin.chain(others).map(Into::into).collect();
        requests.push(firewall::Request::Up(self.up.clone()).into());
        Ask { requests, ..Ask::default() }
    }
}
