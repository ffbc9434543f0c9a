//! `nightlatch demo`: what a protected telephone server looks like from outside, before and
//! after, with real packets, without touching this machine.

pub mod stage;
