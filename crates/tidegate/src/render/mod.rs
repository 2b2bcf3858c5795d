//! Results in words, one file for each thing that can be shown.

pub(crate) mod events;
pub(crate) mod explain;
mod figures;
pub(crate) mod proc;
pub(crate) mod stats;
pub(crate) mod summary;
