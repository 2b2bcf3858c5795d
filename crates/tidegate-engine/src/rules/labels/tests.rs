//! Files of names, and rules that use them.

use alloc::string::ToString;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::LabelNames;
use crate::rules;

const NAMES: &str =
    "# of the gateway\n0\teth0-in\n1 eth0-out\n 3   two words \n0x4 hex\n127 last\n";

#[test]
fn rules_take_names_and_numbers_and_print_names() {
    // As iptables-restore and iptables-save 1.8.9 do with the same file.
    let rows = [
        ("--label eth0-in", "--label \"eth0-in\""),
        ("--label \"two words\" --set", "--label \"two words\" --set"),
        ("! --label 1", "! --label \"eth0-out\""),
        ("--label 4", "--label \"hex\""),
        ("--label 0x7f", "--label \"last\""),
        ("--label 5", "--label \"5\""),
    ];
    let labels = LabelNames::parse("names", NAMES).unwrap();
    for (family, (written, saved)) in
        [Family::V4, Family::V6].into_iter().flat_map(|family| rows.map(|row| (family, row)))
    {
        let text = alloc::format!("*filter\n-A INPUT -m connlabel {written}\nCOMMIT\n");
        let rules = rules::parse_named(family, "rules", &text, &labels).unwrap();
        let printed = rules::print(&rules, false);
        assert!(
            printed.contains(&alloc::format!("-m connlabel {saved}\n")),
            "{written}: {printed}"
        );
    }
}

#[test]
fn an_unknown_name_is_refused() {
    let text = "*filter\n-A INPUT -m connlabel --label eth1-in\nCOMMIT\n";
    let errors = rules::parse(Family::V4, "rules", text).unwrap_err();
    assert_eq!(errors[0].to_string(), "rules:2: `eth1-in' is not a label's name or number");
}

#[test]
fn wrong_lines_are_refused_where_they_are() {
    let text = "1 a\n128 b\nc d\n2\n3 a_b\n1 d\n4 a\n-1 e\n";
    let errors: Vec<_> =
        LabelNames::parse("names", text).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "names:2: `128' is not a number from 0 to 127",
            "names:3: `c' is not a number from 0 to 127",
            "names:4: `2' is not a number and a name of letters, digits, `-' and blanks",
            "names:5: `3 a_b' is not a number and a name of letters, digits, `-' and blanks",
            "names:6: `1 d' is given a second time",
            "names:7: `4 a' is given a second time",
            "names:8: `-1' is not a number from 0 to 127",
        ]
    );
}
