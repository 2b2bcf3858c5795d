//! How results are told: a table for people.

pub mod table;
