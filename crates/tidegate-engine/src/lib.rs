//! Every decision.
#![no_std]
extern crate alloc;

pub mod rand;
pub mod time;
