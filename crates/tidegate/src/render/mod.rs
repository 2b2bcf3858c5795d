//! Results in words, one file for each thing that can be shown.

pub(crate) mod classes;
pub(crate) mod counters;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod figures;
pub(crate) mod flow;
pub(crate) mod groups;
pub(crate) mod proc;
pub(crate) mod ranking;
pub(crate) mod stats;
pub(crate) mod summary;
