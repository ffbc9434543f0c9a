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
        // Each attack has its own two notices, however soon after another it is, and however often its lines are
        // read again after a crash.
        Notice::AttackBegan { source, at, .. } => {
            Topic::new("attack-began", at).with("address", source)
        }
        Notice::AttackEnded { since, sources, attempts, .. } => {
            let topic = Topic::new("attack-ended", since);
            topic.with("sources", sources).with("attempts", attempts)
        }
        Notice::NoAddress { log, name, .. } => {
            Topic::new("log-without-address", log).with("name", name)
        }
        Notice::Doubtful { log, text, .. } => Topic::new("log-doubtful", log).with("text", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::Service;
    use crate::time::Time;

    #[test]
    fn each_attack_is_told_of_twice() {
        let began = |at| {
            let at = Time::from_millis(at);
            let source = "192.0.2.1".parse().unwrap();
            topic(&Notice::AttackBegan { source, service: Service::Sip, at })
        };
        let ended = |since| {
            let since = Time::from_millis(since);
            topic(&Notice::AttackEnded { sources: 1, attempts: 2, since, until: since })
        };
        // Lines that are read again begin no other attack.
        assert_eq!(began(1_000), began(1_000));
        assert_ne!(began(1_000).key, began(9_000).key);
        assert_ne!(ended(1_000).key, ended(9_000).key);
        assert_ne!(began(1_000).kind, ended(1_000).kind);
    }
}
