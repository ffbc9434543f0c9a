//! Host names: name servers whose answers change, vanish, lie, come late or do not fit.

mod follow;
mod ground;
mod hostile;
