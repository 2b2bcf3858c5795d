//! Every decision.
#![no_std]
extern crate alloc;

pub mod limits;
pub mod rand;
pub mod table;
pub mod time;
