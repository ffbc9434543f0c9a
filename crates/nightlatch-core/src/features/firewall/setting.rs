//! The settings of the firewall, one record each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::posture::{Mode, Protection, Site};

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// What strangers meet.
    Mode,
    /// Whether the firewall is to stand.
    Protection,
    /// What is known of the server.
    Site,
}

impl Setting {
    const ALL: [Setting; 3] = [Setting::Mode, Setting::Protection, Setting::Site];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Setting::Mode => "mode",
            Setting::Protection => "protection",
            Setting::Site => "site",
        })
    }
}

/// There is no setting of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such setting")]
pub struct NoSetting;

impl FromStr for Setting {
    type Err = NoSetting;

    fn from_str(text: &str) -> Result<Setting, NoSetting> {
        Setting::ALL.into_iter().find(|setting| setting.to_string() == text).ok_or(NoSetting)
    }
}

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// What strangers meet.
    Mode(Mode),
    /// Whether the firewall is to stand.
    Protection(Protection),
    /// What is known of the server.
    Site(Site),
}
