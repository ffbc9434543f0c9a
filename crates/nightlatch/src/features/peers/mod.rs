//! Peer: the peers known from this host's own requests.
//!
//! A carrier at which the PBX registers may send calls and end them; a peer that the PBX calls may
//! answer and hang up. Neither needs an account. The kernel learns these peers from the requests that
//! this host sends from its SIP and IAX ports, and remembers them for 26 hours after a registration,
//! 12 hours after a call and 40 seconds after any other request. It never accepts REGISTER from them.
//! Blocks and removed accounts take precedence; `nightlatch peer forget ADDRESS` forgets a peer.

pub mod cli;
