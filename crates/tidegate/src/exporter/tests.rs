//! Pages against the formats' rules; dashboard, rules and documents against the metrics there are.

use std::collections::BTreeSet;

use tidegate_wire::netlink::Tuple;

use super::census::Flows;
use super::metrics::{self, Kind, Metric};
use super::page::{Form, Page};
use crate::client::Flow;

const GAUGE: Metric = Metric { name: "a_b", kind: Kind::Gauge, help: "One \\ two\n\"three\"." };
const COUNTER: Metric = Metric { name: "c_total", kind: Kind::Counter, help: "Count." };
const INFO: Metric = Metric { name: "d_info", kind: Kind::Info, help: "Info." };

fn page(form: Form) -> String {
    let mut page = Page::new(form);
    page.many(GAUGE, [(vec![("x", "a\"b\\c\nd".to_owned()), ("y", "é".to_owned())], 1.5)]);
    page.one(COUNTER, 3e9);
    page.many(INFO, [(vec![("v", "1".to_owned())], 1.0)]);
    page.many(COUNTER, []);
    page.one(GAUGE, f64::INFINITY);
    page.finish()
}

#[test]
fn prometheus_text_is_as_its_format_says() {
    let expected = "# HELP a_b One \\\\ two\\n\"three\".\n# TYPE a_b gauge\na_b{x=\"a\\\"b\\\\c\\nd\",y=\"é\"} 1.5\n\
        # HELP c_total Count.\n# TYPE c_total counter\nc_total 3000000000\n\
        # HELP d_info Info.\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n\
        # HELP a_b One \\\\ two\\n\"three\".\n# TYPE a_b gauge\na_b +Inf\n";
    assert_eq!(page(Form::Prometheus), expected);
}

#[test]
fn openmetrics_differs_where_it_must() {
    let text = page(Form::OpenMetrics);
    for line in [
        "# HELP a_b One \\\\ two\\n\\\"three\\\".",
        "# TYPE c counter",
        "c_total 3000000000",
        "# TYPE d info",
        "d_info{v=\"1\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

/// Each row: the header, whether OpenMetrics is meant.
#[test]
fn the_form_is_what_is_accepted() {
    let rows = [
        ("", false),
        ("*/*", false),
        ("text/html, */*;q=0.1", false),
        ("application/openmetrics-text", true),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            true,
        ),
        ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", false),
        ("application/openmetrics-text;q=0", false),
    ];
    for (header, expected) in rows {
        assert_eq!(Form::accepted(header) == Form::OpenMetrics, expected, "{header}");
    }
}

fn flow(number: u32) -> Flow<'static> {
    let tuple = Tuple {
        src: Some(std::net::Ipv4Addr::from_bits(number).into()),
        dst: "192.0.2.1".parse().ok(),
        proto: Some(17),
        sport: Some(5),
        dport: Some(53),
        ..Tuple::default()
    };
    Flow { family: 2, tuples: [tuple.clone(), tuple], ..Flow::default() }
}

/// However many sources there are, the page has as many lines as is asked for, and no flow is missing from their sum.
#[test]
fn the_page_does_not_grow_with_the_table() {
    let mut flows = Flows::new(100);
    for number in 0..5000 {
        flows.add(&flow(number));
        flows.add(&flow(7));
    }
    let mut page = Page::new(Form::Prometheus);
    flows.write(&mut page, 3);
    let text = page.finish();
    let sources: Vec<(&str, f64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("tidegate_conntrack_source_flows{")?.split_once("} "))
        .map(|(labels, value)| (labels, value.parse().unwrap()))
        .collect();
    assert_eq!(sources.len(), 4, "{text}");
    assert!(sources[0].0 == "source=\"0.0.0.7\"" && sources[0].1 >= 4900.0, "{text}");
    assert_eq!(sources[3].0, "source=\"other\"");
    assert_eq!(sources.iter().map(|(_, flows)| flows).sum::<f64>(), 10_000.0);
    let kinds =
        "tidegate_conntrack_flows{family=\"ipv4\",protocol=\"udp\",state=\"UNREPLIED\"} 10000";
    assert!(text.contains(kinds), "{text}");
    assert!(
        text.contains("destination=\"192.0.2.1\",protocol=\"udp\",port=\"53\"} 10000"),
        "{text}"
    );
}

#[test]
fn metrics_are_named_as_prometheus_wants_them() {
    let names: Vec<&str> = metrics::all().map(|metric| metric.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name twice");
    for Metric { name, kind, help } in metrics::all() {
        assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(kind == Kind::Info, name.ends_with("_info"), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
    }
}

/// Words of a text that look like metrics of ours.
fn mentioned(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let prefixes = ["node_nf_conntrack_", "tidegate_conntrack_", "tidegate_exporter_"];
    let others = ["tidegate_packets_total", "tidegate_table_up", "tidegate_build_info"];
    words
        .filter(|word| {
            prefixes.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len())
                || others.contains(word)
        })
        .map(str::to_owned)
        .collect()
}

/// What the dashboard and the rules ask for is there.
#[test]
fn dashboard_and_rules_know_only_metrics_that_exist() {
    let known: BTreeSet<String> = metrics::all().map(|metric| metric.name.to_owned()).collect();
    let dashboard = include_str!("../../../../contrib/grafana/tidegate.json");
    let rules = include_str!("../../../../contrib/prometheus/tidegate.rules.yml");
    serde_json::from_str::<serde_json::Value>(dashboard).expect("JSON");
    for (what, text, least) in [("dashboard", dashboard, 10), ("rules", rules, 5)] {
        let asked = mentioned(text);
        assert!(asked.len() >= least, "{what} asks for {asked:?} only");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{what} asks for {unknown:?}");
    }
}

/// The document tells of each metric, and of no other.
#[test]
fn the_document_tells_of_every_metric() {
    let known: BTreeSet<String> = metrics::all().map(|metric| metric.name.to_owned()).collect();
    let told = mentioned(include_str!("../../../../docs/exporter.md"));
    assert_eq!(told, known);
}
