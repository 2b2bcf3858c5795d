//! What a packet, a flow and a connection cost, measured beside references of the same size in the
//! same run.
//!
//! Two programs are made of this: `tidegate-bench`, which measures time and memory, and
//! `instructions`, which counts instructions under valgrind and so gives the same answer on every
//! machine. Both see of the engine only what any caller sees.
//!
//! - [`plan`], [`ring`], [`traffic`], [`hostile`], [`order`]: packets from numbers;
//! - [`world`], [`rulesets`], [`bed`]: an engine, filled;
//! - [`mod@reference`]: what it is compared with;
//! - [`subject`], [`clock`], [`bursts`], [`residence`], [`allocator`]: how one measures;
//! - [`session`], [`rows`]: what is measured;
//! - [`report`]: how it is told;
//! - [`counting`]: the same without a clock.
//!
//! `docs/bench.md` tells what each row means.

pub mod allocator;
pub mod bed;
pub mod bursts;
pub mod clock;
pub mod counting;
pub mod flags;
pub mod hostile;
pub mod order;
pub mod plan;
pub mod prefetch;
pub mod reference;
pub mod report;
pub mod residence;
pub mod ring;
pub mod rows;
pub mod rulesets;
pub mod session;
pub mod subject;
pub mod traffic;
pub mod world;
