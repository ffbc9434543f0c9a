//! Notices that a real daemon gives to real commands.

mod delivered;
mod failing;
mod ground;
mod hostile;
