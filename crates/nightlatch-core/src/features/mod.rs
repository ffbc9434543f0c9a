//! One folder for each feature: its records, what it claims, what can be asked of it, what follows.
//!
//! A feature proposes, the engine decides. No feature names another one, and the engine names none:
//! [`register`] lists them, one line each.

#[macro_use]
mod enums;
#[macro_use]
mod macros;

pub mod accounts;
pub mod bans;
pub mod blocks;
pub mod countries;
pub mod denials;
pub mod exemptions;
pub mod feature;
pub mod feeds;
pub mod firewall;
pub mod leases;
pub mod names;
pub mod notices;
pub mod peers;
pub mod plan;
pub mod providers;
pub mod register;
pub mod users;
pub mod view;
pub mod watch;

pub use feature::{Feature, Put, Reads, Refuses};
pub use plan::{Effects, Fact, Plan, Step, UserOpens, UserRights, Want};
pub use register::{
    By, Change, Deed, Event, Id, Job, Loading, Notice, Proposal, Refusal, Reply, Request, State,
    sets,
};
pub use view::View;
