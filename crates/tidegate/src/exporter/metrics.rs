//! Every metric there is.

/// What a metric's numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They rise and fall.
    Gauge,
    /// They only rise, until they begin anew.
    Counter,
    /// They are always 1: what is told are the labels.
    Info,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name in Prometheus' text format.
    pub(crate) name: &'static str,
    /// What its numbers do.
    pub(crate) kind: Kind,
    /// What it means, in one line.
    pub(crate) help: &'static str,
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

pub(crate) const ENTRIES: Metric = gauge(
    "node_nf_conntrack_entries",
    "Number of currently allocated flow entries for connection tracking.",
);
pub(crate) const ENTRIES_LIMIT: Metric =
    gauge("node_nf_conntrack_entries_limit", "Maximum size of connection tracking table.");
/// Those that node_exporter has as gauges, though they only rise: dashboards know them so.
pub(crate) const STAT: [(&str, Metric); 7] = [
    (
        "found",
        gauge(
            "node_nf_conntrack_stat_found",
            "Look-ups of a free tuple for NAT that met an entry.",
        ),
    ),
    (
        "invalid",
        gauge("node_nf_conntrack_stat_invalid", "Packets that fit no flow and may begin none."),
    ),
    ("insert", gauge("node_nf_conntrack_stat_insert", "Entries that were made by ctnetlink.")),
    (
        "insert_failed",
        gauge(
            "node_nf_conntrack_stat_insert_failed",
            "Entries that could not be inserted: their tuple was taken meanwhile.",
        ),
    ),
    ("drop", gauge("node_nf_conntrack_stat_drop", "Packets dropped for want of room.")),
    (
        "early_drop",
        gauge("node_nf_conntrack_stat_early_drop", "Entries evicted to make room for others."),
    ),
    (
        "search_restart",
        gauge(
            "node_nf_conntrack_stat_search_restart",
            "Look-ups begun anew because the table changed under them.",
        ),
    ),
];
/// The one that Linux doesn't count any more.
pub(crate) const STAT_IGNORE: Metric =
    gauge("node_nf_conntrack_stat_ignore", "Always 0, as Linux has it since 5.10.");
/// Those that node_exporter doesn't tell.
pub(crate) const MORE_STAT: [(&str, Metric); 6] = [
    (
        "error",
        counter(
            "tidegate_conntrack_errors_total",
            "Packets with wrong lengths or checksums, and ICMP errors that fit nothing.",
        ),
    ),
    (
        "clash_resolve",
        counter(
            "tidegate_conntrack_clashes_resolved_total",
            "Packets that raced to make the same flow, and now share one.",
        ),
    ),
    (
        "chaintoolong",
        counter(
            "tidegate_conntrack_chains_too_long_total",
            "Flows refused because too many hash to the same place.",
        ),
    ),
    (
        "expect_new",
        counter("tidegate_conntrack_expected_flows_total", "Flows that were expected, and came."),
    ),
    (
        "expect_create",
        counter("tidegate_conntrack_expectations_created_total", "Expectations that helpers made."),
    ),
    (
        "expect_delete",
        counter(
            "tidegate_conntrack_expectations_deleted_total",
            "Expectations that ended, met or not.",
        ),
    ),
];
pub(crate) const FILL: Metric =
    gauge("tidegate_conntrack_fill_ratio", "Entries by their limit: 1 is full.");
pub(crate) const UNTIL_FULL: Metric = gauge(
    "tidegate_conntrack_until_full_seconds",
    "When the table is full if it goes on filling as between the last scrapes; +Inf if it doesn't.",
);
pub(crate) const FLOWS: Metric = gauge(
    "tidegate_conntrack_flows",
    "Flows by family, protocol and state; of protocols without states whether they were answered.",
);
pub(crate) const STATUS: Metric = gauge(
    "tidegate_conntrack_status_flows",
    "Flows that have a status: assured, unreplied, expected, source_nat, destination_nat, offload.",
);
pub(crate) const ZONE: Metric =
    gauge("tidegate_conntrack_zone_flows", "Flows of the zones with the most, and of all others.");
pub(crate) const SOURCE: Metric = gauge(
    "tidegate_conntrack_source_flows",
    "Flows of the source addresses with the most, and of all others.",
);
pub(crate) const DESTINATION: Metric = gauge(
    "tidegate_conntrack_destination_flows",
    "Flows to the destinations (address, protocol, port) with the most, and to all others.",
);
pub(crate) const SOURCES: Metric = gauge(
    "tidegate_conntrack_sources",
    "Source addresses that have flows; at most what fits into memory.",
);
pub(crate) const DESTINATIONS: Metric = gauge(
    "tidegate_conntrack_destinations",
    "Destinations that have flows; at most what fits into memory.",
);
pub(crate) const EXPECTATIONS: Metric =
    gauge("tidegate_conntrack_expectations", "Expectations by the helper that made them.");
pub(crate) const EXPECTATIONS_LIMIT: Metric =
    gauge("tidegate_conntrack_expectations_limit", "How many expectations there may be.");
pub(crate) const PACKETS: Metric = counter(
    "tidegate_packets_total",
    "Packets of an engine that were dropped, called INVALID or ignored, by reason.",
);
pub(crate) const UP: Metric = gauge(
    "tidegate_table_up",
    "Whether the table could be read: 1, or 0 and nothing else is told.",
);
pub(crate) const PASS: Metric =
    gauge("tidegate_exporter_pass_seconds", "How long the pass over the table took.");
pub(crate) const AGE: Metric = gauge(
    "tidegate_exporter_age_seconds",
    "How long ago the table was read; scrapes in between share it.",
);
pub(crate) const PASSES: Metric =
    counter("tidegate_exporter_passes_total", "Passes over the table since the exporter began.");
pub(crate) const BUILD: Metric = Metric {
    name: "tidegate_build_info",
    kind: Kind::Info,
    help: "The version of tidegate, and whose table it reads.",
};

/// All of them.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = Metric> {
    let ours = [
        FILL,
        UNTIL_FULL,
        FLOWS,
        STATUS,
        ZONE,
        SOURCE,
        DESTINATION,
        SOURCES,
        DESTINATIONS,
        EXPECTATIONS,
        EXPECTATIONS_LIMIT,
        PACKETS,
        UP,
        PASS,
        AGE,
        PASSES,
        BUILD,
    ];
    let kept =
        STAT.into_iter().map(|(_, metric)| metric).chain([STAT_IGNORE, ENTRIES, ENTRIES_LIMIT]);
    kept.chain(MORE_STAT.into_iter().map(|(_, metric)| metric)).chain(ours)
}
