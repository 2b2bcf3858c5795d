//! Texts that must be refused: `refused/NAME.rules` begins with `# expect: LINE: MESSAGE` lines, one for each error,
//! in the order of the errors; each error is of that line and its message holds MESSAGE.

use tidegate_engine::rules;

use crate::golden::{files, name};

#[test]
fn every_error_is_found_where_it_is() {
    let files = files("refused");
    assert!(files.len() >= 8, "refused files are missing");
    for (path, family, text) in files {
        let name = name(&path);
        let expected: Vec<(u32, &str)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# expect: ")?.split_once(": "))
            .map(|(line, message)| (line.parse().unwrap(), message))
            .collect();
        assert!(!expected.is_empty(), "{name} expects nothing");
        let errors = rules::parse(family, &name, &text).expect_err(&name);
        for (error, (line, message)) in errors.iter().zip(&expected) {
            let shown = error.to_string();
            assert!(shown.starts_with(&format!("{name}:{line}: ")), "{shown}, expected {line}");
            assert!(shown.contains(message), "{shown}, expected {message}");
        }
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), expected.len(), "{name}: {shown:#?}");
    }
}
