//! A page of metrics: Prometheus' text format 0.0.4, or OpenMetrics 1.0.
//!
//! The two differ in little: OpenMetrics names a counter without `_total` in its description, knows `info`, and ends with
//! a line that says so. Whoever asks says in `Accept` what he reads.

use std::fmt::Write;

use super::metrics::{Kind, Metric};

/// How a page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// Prometheus' text format.
    #[default]
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl Form {
    /// The one that a header `Accept` prefers; of equal ones the older.
    pub(crate) fn accepted(header: &str) -> Self {
        let weight = |wanted: &str| {
            let kinds = header.split(',').map(|kind| kind.trim());
            let matching = kinds.filter(|kind| {
                kind.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(wanted))
            });
            matching.map(quality).fold(0.0, f64::max)
        };
        let older = weight("text/plain").max(weight("text/*")).max(weight("*/*"));
        if weight("application/openmetrics-text") > older {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// What the page is called over HTTP.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The weight of a kind in `Accept`: 1 if none is said.
fn quality(kind: &str) -> f64 {
    let weights = kind.split(';').skip(1).filter_map(|part| part.trim().strip_prefix("q="));
    weights.filter_map(|weight| weight.parse().ok()).next().unwrap_or(1.0)
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(crate) struct Page {
    form: Form,
    text: String,
}

impl Page {
    /// An empty one.
    pub(crate) fn new(form: Form) -> Self {
        Self { form, text: String::new() }
    }

    /// Writes a metric that is one number.
    pub(crate) fn one(&mut self, metric: Metric, value: f64) {
        self.many(metric, [(Vec::new(), value)]);
    }

    /// Writes a metric with its numbers, each under its labels. One without any is left out.
    pub(crate) fn many<'a>(
        &mut self,
        metric: Metric,
        samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.describe(metric);
        for (labels, value) in samples {
            self.text.push_str(metric.name);
            self.labels(&labels);
            self.value(value);
        }
    }

    /// The page.
    pub(crate) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn describe(&mut self, Metric { name, kind, help }: Metric) {
        let (name, kind) = match (self.form, kind) {
            (_, Kind::Gauge) => (name, "gauge"),
            (Form::Prometheus, Kind::Counter) => (name, "counter"),
            (Form::OpenMetrics, Kind::Counter) => (name.trim_end_matches("_total"), "counter"),
            (Form::Prometheus, Kind::Info) => (name, "gauge"),
            (Form::OpenMetrics, Kind::Info) => (name.trim_end_matches("_info"), "info"),
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let help = if self.form == Form::OpenMetrics { help.replace('"', "\\\"") } else { help };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn labels(&mut self, labels: &[(&str, String)]) {
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    fn value(&mut self, value: f64) {
        let _ = match value {
            value if value == f64::INFINITY => writeln!(self.text, " +Inf"),
            value if value == f64::NEG_INFINITY => writeln!(self.text, " -Inf"),
            value => writeln!(self.text, " {value}"),
        };
    }
}
