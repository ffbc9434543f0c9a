//! Who: what is known of an address.
//!
//! `nightlatch who 203.0.113.7` shows every account, provider, block, denial, feed and country that contains the
//! address, whatever the verdict on its packets is (that is `nightlatch why`), and the name that the address has in
//! the DNS. Such a reverse name is set by the owner of the address and proves nothing; `leads back` says that the
//! name, asked in turn, has this address, `leads elsewhere` that it does not. The DNS is asked by this command, for
//! two seconds at most, and not by the daemon.
//!
//! The exit code is 1 if nothing but a country and a reverse name is known.
//!
//! In JSON: `address`, `reverse` (the `names`, each with its `name` and whether it `leads_back`, `null` if that
//! could not be found out in time; and the `failure` if the DNS gave no usable answer), what each feature knows
//! (`accounts`, `providers`, `blocks`, `denials`, ...), and the `lists` that contain it.

pub mod cli;
pub mod io;
mod wording;
