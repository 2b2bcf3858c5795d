//! `tidegate top`: a table as it lives, on a full screen, with iptstate's keys.
//!
//! ```text
//! keys --> State --Question--> Survey, in a thread of its own: one pass over the table, row by row forgotten
//!            ^  |                 |
//!            |  +--> view         v
//!            +---- Report: Snapshot (the rows that come first, groups, totals), counts, names
//! ```
//!
//! * [`state`] is all that can be seen and asked for; keys ([`keys`]) and reports change it, [`view`] draws it. None of
//!   them knows a terminal, a table or a clock.
//! * [`survey`] makes passes over a table of any size in bounded memory: [`rank`] keeps the first rows, [`group`] counts,
//!   [`rates`] compares with the pass before.
//! * [`screen`] is the terminal with its threads, [`page`] one page of text instead.

pub(crate) mod column;
pub(crate) mod filters;
pub(crate) mod group;
pub(crate) mod history;
mod keys;
mod lookup;
mod owner;
pub(crate) mod page;
#[cfg(test)]
mod picture;
pub(crate) mod rank;
mod rates;
pub(crate) mod screen;
pub(crate) mod state;
pub(crate) mod survey;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use self::keys::interval;
