//! What the notices of the judge are about, and how much they matter.

use crate::detect::Notice;
use crate::heard::{Level, Topic};

/// How much a notice matters.
pub(super) fn level(notice: &Notice) -> Level {
    match notice {
        it if it.is_urgent() => Level::Error,
        Notice::PhoneRecovered { .. } | Notice::AttackEnded { .. } => Level::Info,
        _ => Level::Warning,
    }
}

/// What it is about. Texts of attackers have fields of their own.
pub(super) fn topic(notice: &Notice) -> Topic {
    match notice {
        Notice::PasswordFound { source, account, .. } => {
            Topic::new("password-found", source).with("account", account)
        }
        Notice::AccountsGuessed { source, accounts, .. } => {
            Topic::new("accounts-guessed", source).with("accounts", accounts.join(", "))
        }
        Notice::BadPhone { source, account, agent, .. } => {
            let topic = Topic::new("phone-fails", source).with("account", account);
            match agent {
                Some(agent) => topic.with("agent", agent),
                None => topic,
            }
        }
        Notice::PhoneRecovered { source, account, .. } => {
            Topic::new("phone-recovered", source).with("account", account)
        }
        Notice::AttackBegan { source, .. } => Topic::new("attack-began", source),
        Notice::AttackEnded { .. } => Topic::new("attack-ended", ""),
        Notice::NoAddress { log, name, .. } => {
            Topic::new("log-without-address", log).with("name", name)
        }
        Notice::Doubtful { log, text, .. } => Topic::new("log-doubtful", log).with("text", text),
    }
}
