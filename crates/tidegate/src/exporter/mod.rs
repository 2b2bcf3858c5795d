//! `tidegate exporter`: a table's figures for Prometheus.
//!
//! ```text
//! GET /metrics --> server --> Cache: older than a few seconds? --Census: one pass over the table--> page
//! ```
//!
//! * [`metrics`] lists every metric with its type and its meaning: nothing else is served, and documents, dashboard and
//!   rules are held against it;
//! * [`census`] reads the table: one dump, in bounded memory, one at a time;
//! * [`page`] writes what was read, in Prometheus' text format or in OpenMetrics;
//! * [`server`] answers over HTTP.
//!
//! How many series there are doesn't hang on the table: of sources, destinations and the like the first N are named, the
//! others are `other`.

pub(crate) mod census;
pub(crate) mod metrics;
pub(crate) mod page;
pub(crate) mod server;
#[cfg(test)]
mod tests;
