//! Compares the state that a replay ends in: the table, the statistics and the rule counters.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Comparator, counted, list, sorted_by_identity};

impl Comparator {
    /// Compares the states at the end as far as the replay tells its own.
    pub(in crate::oracle) fn end(&mut self, expected: &Value, actual: &Value) {
        self.index = None;
        if let Some(table) = actual.get("table") {
            self.table(list(&expected["table"]), list(table));
        }
        if let Some(stats) = actual.get("stats") {
            let (mut expected, mut stats) = (expected["stats"].clone(), stats.clone());
            if self.vary.has_free_ports() {
                // How many tuples are found taken depends on the ports tried.
                remove(&mut expected, "found");
                remove(&mut stats, "found");
            }
            self.tree("stats", &expected, &stats);
        }
        if let Some(counters) = actual.get("counters") {
            self.tree("counters", &expected["counters"], counters);
        }
    }

    fn table(&mut self, expected: &[Value], actual: &[Value]) {
        if expected.len() != actual.len() {
            self.note("table", counted(expected.len()), counted(actual.len()));
        } else if !self.vary.has_free_ports() {
            let pairs = sorted_by_identity(expected).into_iter().zip(sorted_by_identity(actual));
            for (at, (expected, actual)) in pairs.enumerate() {
                self.entry(&format!("table[{at}]"), expected, actual);
            }
        }
    }

    /// Compares nested values exactly, and notes the places where they differ.
    fn tree(&mut self, path: &str, expected: &Value, actual: &Value) {
        match (expected, actual) {
            (Value::Object(fields), Value::Object(others)) => {
                let keys: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
                for key in keys {
                    self.tree(&format!("{path}.{key}"), &expected[key], &actual[key]);
                }
            }
            (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
                for (at, (item, other)) in items.iter().zip(others).enumerate() {
                    self.tree(&format!("{path}[{at}]"), item, other);
                }
            }
            _ => self.exact(path, expected, actual),
        }
    }
}

fn remove(object: &mut Value, key: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(key);
    }
}
