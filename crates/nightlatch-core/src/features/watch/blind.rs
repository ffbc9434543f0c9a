//! What fails without a line in any log.

use serde::{Deserialize, Serialize};

/// Failures that leave no line, because of how a program is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blind {
    /// What is not seen.
    pub what: Blindness,
    /// The file that says so, or that should say something else.
    pub file: String,
    /// The line that changes it.
    pub fix: String,
}

/// What is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blindness {
    /// Failed IAX2 logins.
    IaxLogins,
    /// Failed logins at a profile of FreeSWITCH.
    FreeswitchLogins,
    /// Failed logins at Kamailio.
    KamailioLogins,
    /// Failed logins at OpenSIPS.
    OpensipsLogins,
    /// Failed logins at Asterisk's REST interface.
    AriLogins,
    /// Security events of Asterisk: the most exact lines that it can write.
    AsteriskSecurity,
}
