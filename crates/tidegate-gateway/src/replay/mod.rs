//! Replay: recorded packets through an engine, under the capture's own clock.
//!
//! ```text
//! Scenario --> Replay: arrive --> pass --> arrive --> pass ... --> finish
//!                        |          |                               |
//!                        +----------+--- events, flows, output -----+--> Recorder (JSON lines), Census, or the
//!                                                                       caller itself
//! ```
//!
//! - [`scenario`] gathers what a replay starts from: frames, rules, settings,
//!   actions; from a directory, from memory, or around a plain capture.
//! - [`topology`] is the world that the engine is told of.
//! - [`run`] moves the clock and the packets.
//! - [`host`] is the router's own stack: it answers what is delivered locally.
//! - [`record`] writes what became of each packet, as the scenario format wants.
//! - [`census`] keeps the figures of a summary.
//!
//! A plain capture is streamed: memory grows with the flows, not with the
//! packets. The same input always gives the same output.

pub mod census;
pub mod control;
pub mod fault;
pub mod host;
pub mod ingress;
mod lookahead;
mod operator;
pub mod outbox;
pub mod patch;
pub mod record;
pub mod run;
pub mod scenario;
mod team;
pub mod topology;

pub use census::Census;
pub use fault::{Cause, Fault};
pub use record::Recorder;
pub use run::{Arrival, Passed, Replay};
pub use scenario::{Inputs, Provisions, Scenario};
pub use team::Crew;
