//! Peer: the peers known from this host's own requests.
//!
//! A carrier at which the PBX registers may send calls and end them; a peer that the PBX calls may
//! answer and hang up. Neither needs an account. The kernel learns these peers from the requests that
//! this host sends from its SIP and IAX ports, and remembers them for 26 hours after a registration,
//! 12 hours after a call and 40 seconds after any other request. Over UDP, it never accepts REGISTER
//! from them. A carrier at which the PBX is registered over TCP or TLS may open connections to the
//! SIP ports, and stays known for 30 minutes after that registration was last seen. Blocks and
//! removed accounts take precedence; `nightlatch peer forget ADDRESS` forgets a peer.

pub mod cli;
pub(crate) mod io;
mod wording;
