//! What all features share: the clock, the paths, the store, the firewall, the control
//! socket, the fetcher of lists, other programs, the console of the PBX.

pub mod addresses;
pub mod again;
pub(crate) mod arriving;
pub(crate) mod background;
pub mod beginnings;
pub mod busy;
pub mod caller;
pub mod client;
pub mod clock;
pub mod configuration;
pub mod detach;
pub mod fetch;
pub mod firewall;
pub mod flows;
pub mod hours;
pub mod inbox;
pub mod journal;
pub mod kept;
pub mod known_peers;
pub mod lane;
pub mod lock;
pub mod outcome;
pub mod packets;
pub mod paths;
pub mod pbx;
pub mod pbx_peers;
pub mod programs;
pub(crate) mod resolver;
pub mod screen;
pub mod server;
pub mod sockets;
pub mod store;
pub mod streams;
pub mod systemd;
pub(crate) mod wake;
