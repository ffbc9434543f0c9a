//! What all features share: the clock, the paths, the store, the firewall, the control
//! socket, the fetcher of lists.

pub mod addresses;
pub mod caller;
pub mod client;
pub mod clock;
pub mod configuration;
pub mod detach;
pub mod fetch;
pub mod firewall;
pub mod journal;
pub mod kept;
pub mod lock;
pub mod outcome;
pub mod paths;
pub mod screen;
pub mod server;
pub mod sockets;
pub mod store;
pub mod systemd;
