//! Tables of texts and the facts in them; see `tests/it/survey.rs` for real kernels.

use std::net::IpAddr;

mod machine;
mod plan;
mod rules;
mod telephony;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
