//! A file of our own in the form of iptables' tests.

use super::{Difference, Expected, Path, PathBuf, Report};

fn report(text: &str) -> Report {
    let mut report = Report::default();
    report.file(Path::new("libxt_own.t"), text);
    report
}

#[test]
fn a_rule_is_asked_in_each_chain() {
    let report =
        report(":INPUT,FORWARD\n# a comment\n-p tcp --dport ssh;-p tcp -m tcp --dport 22;OK\n");
    assert_eq!((report.equal, report.foreign, report.differences.len()), (2, 0, 0));
}

#[test]
fn results_are_told_apart() {
    let rows = [
        ("what must be refused is", "-m mark;;FAIL", (1, 0, 0)),
        ("another form is a difference", "-m mark --mark 1;-m mark --mark 1;OK", (0, 0, 1)),
        ("the form that must not be", "-m mark --mark 1;-m mark --mark 1;NOMATCH", (1, 0, 0)),
        ("a rule refused against the test", "-m nothing;=;OK", (0, 0, 1)),
        ("a rule taken against the test", "-m mark --mark 1;;FAIL", (0, 0, 1)),
        ("another subsystem's", "-m bpf --object-pinned /x;=;OK", (0, 1, 0)),
        ("the other implementation's", "-m nothing;=;OK;NFT", (0, 0, 0)),
    ];
    for (what, row, counts) in rows {
        let report = report(&format!(":INPUT\n{row}\n"));
        let found = (report.equal, report.foreign, report.differences.len());
        assert_eq!(found, counts, "{what}");
    }
}

#[test]
fn a_difference_names_its_place() {
    let report = report(":PREROUTING,OUTPUT\n*raw\n-j CT --notrack;-j NOTRACK;OK\n");
    let found = Difference {
        file: PathBuf::from("libxt_own.t"),
        line: 3,
        rule: "-j CT --notrack".into(),
        expected: Expected::Printed("-j NOTRACK".into()),
        found: "-A PREROUTING -j CT --notrack".into(),
    };
    assert_eq!(report.differences, [found], "told once for both chains");
}
