//! The one record: when signalling was last closed to strangers.

use std::fmt;
use std::str::FromStr;

/// Its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignallingClosed;

impl fmt::Display for SignallingClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signalling_closed")
    }
}

/// There is no record of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such record")]
pub struct NoKey;

impl FromStr for SignallingClosed {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<SignallingClosed, NoKey> {
        (text == SignallingClosed.to_string()).then_some(SignallingClosed).ok_or(NoKey)
    }
}
