//! Peer: whom this host's own requests have made known.
//!
//! Where the PBX registers, its carrier may call and hang up, however long ago that was; whom it
//! calls may answer and hang up too. The kernel remembers these peers from the requests that this
//! host sends from its SIP and IAX ports: 26 hours after a registration, 12 hours after a call, 40
//! seconds after anything else. REGISTER is never accepted from them. Blocks and removed accounts
//! count against them; `nightlatch peer forget ADDRESS` makes one unknown again.

pub mod cli;
