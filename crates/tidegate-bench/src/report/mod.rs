//! How results are told: a table for people, with peers beside it, and a plot.

pub mod recorded;
pub mod svg;
pub mod table;
