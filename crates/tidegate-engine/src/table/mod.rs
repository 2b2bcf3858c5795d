//! The flow table's parts that know nothing of flows: the keyed hash and the timer wheel.

pub mod hash;
pub mod wheel;
