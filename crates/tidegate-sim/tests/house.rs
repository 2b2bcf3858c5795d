//! The house rules that neither compiler nor clippy enforces, over every file under version control.
//!
//! The length of functions, the number of parameters and missing docs are not looked at: the
//! workspace's lints see to them, and here only that no crate leaves those out.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A longer file holds two things.
const MAX_LINES: usize = 400;

/// A file under version control.
struct File {
    /// Its path from the root of the repository.
    path: String,
    /// What it holds; in a binary file with replacement characters.
    text: String,
}

#[test]
fn every_source_file_opens_with_its_place_in_the_whole() {
    report(sources().filter(|file| !file.text.starts_with("//! ")), "does not open with `//!'");
}

#[test]
fn no_file_is_longer_than_it_can_be_read() {
    let long = sources().filter(|file| !is_test(&file.path) && code_lines(&file.text) > MAX_LINES);
    report(long, "has more than 400 lines of code");
}

/// Each row: what it shows, a source text, its lines of code.
#[test]
fn only_lines_of_code_are_counted() {
    let rows = [
        ("nothing", "", 0),
        ("a statement", "a();\n", 1),
        ("comments and blank lines", "//! A.\n\n/// B.\n// C.\n    // D.\n", 0),
        ("a comment behind code", "a(); // B.\n", 1),
        ("a module of tests", "a();\n#[cfg(test)]\nmod tests {\n    b();\n}\nc();\n", 2),
        ("one in a file of its own", "a();\n#[cfg(test)]\nmod tests;\nb();\n", 2),
        ("an item for tests only", "impl A {\n    #[cfg(test)]\n    fn b() {\n    }\n}\n", 2),
        ("another attribute", "#[cfg(unix)]\nmod a {\n}\n", 3),
    ];
    for (what, text, expected) in rows {
        assert_eq!(code_lines(text), expected, "{what}");
    }
}

#[test]
fn every_module_has_a_name_that_says_something() {
    let vague = sources().filter(|file| {
        let path = file.path.trim_end_matches(".rs");
        path.split('/').any(|part| ["util", "utils"].contains(&part))
            || ["mod util", "mod utils"].iter().any(|module| declares(&file.text, module))
    });
    report(vague, "is or has a module called `utils'");
}

#[test]
fn limits_are_lifted_for_tables_in_tests_only() {
    let lifted = sources().filter(|file| {
        let limits = ["clippy::too_many_lines", "clippy::too_many_arguments"];
        !is_test(&file.path) && limits.iter().any(|lint| file.text.contains(lint))
    });
    report(lifted, "lifts a limit of the house");
}

#[test]
fn every_crate_takes_over_the_workspace_s_lints_and_licence() {
    let lines = ["[lints]\nworkspace = true", "license.workspace = true"];
    let stray = files().into_iter().filter(|file| {
        file.path.starts_with("crates/")
            && file.path.ends_with("/Cargo.toml")
            && !lines.iter().all(|line| file.text.contains(line))
    });
    report(stray, "does not take over lints or licence of the workspace");
}

#[test]
fn every_dependency_comes_from_the_one_registry() {
    let registry = r#"source = "registry+https://github.com/rust-lang/crates.io-index""#;
    let lock = files().into_iter().find(|file| file.path == "Cargo.lock").expect("Cargo.lock");
    let sources: Vec<&str> =
        lock.text.lines().filter(|line| line.starts_with("source = ")).collect();
    assert!(!sources.is_empty(), "Cargo.lock names no source");
    for source in sources {
        assert_eq!(source, registry);
    }
}

#[test]
fn no_file_names_somebody_s_machine() {
    let machine = files().into_iter().filter(|file| names_a_machine(&file.text));
    report(machine, "names a directory of some machine or a host of a registry");
}

/// Each row: a text, whether it names a machine.
#[test]
fn directories_and_hosts_are_told_from_words() {
    let rows = [
        (concat!("see /ro", "ot/notes"), true),
        (concat!("/ho", "me/me/x.pcap"), true),
        (concat!("\"/wo", "rk/main\""), true),
        (concat!("https://static.crates", ".io/crates"), true),
        (concat!("deb http://deb.debian", ".org/debian"), true),
        (concat!("net/ro", "ot/x"), false),
        (concat!("~/wo", "rk/x"), false),
        ("registry+https://github.com/rust-lang/crates.io-index", false),
    ];
    for (text, expected) in rows {
        assert_eq!(names_a_machine(text), expected, "{text}");
    }
}

fn sources() -> impl Iterator<Item = File> {
    files().into_iter().filter(|file| file.path.ends_with(".rs"))
}

/// Every file under version control that is in the work tree.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files: Vec<File> =
        listing(&root).split_terminator('\0').filter_map(|path| read(&root, path)).collect();
    assert!(files.len() > 20, "only {} files: is this the whole repository?", files.len());
    files
}

/// The paths, each ended by a zero. Whose the directory is does not matter to a reader.
fn listing(root: &Path) -> String {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root)
        .output()
        .expect("git is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git ls-files: {complaint}");
    String::from_utf8(output.stdout).expect("paths are UTF-8")
}

/// `None` for a file that was deleted and not committed yet.
fn read(root: &Path, path: &str) -> Option<File> {
    let place = root.join(path);
    let bytes = place.is_file().then(|| fs::read(&place).expect("a readable file"))?;
    Some(File { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Fails with the paths of the files, if there are any.
#[track_caller]
fn report(offenders: impl Iterator<Item = File>, what: &str) {
    let lines: Vec<String> = offenders.map(|file| format!("{} {what}", file.path)).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn declares(text: &str, module: &str) -> bool {
    text.lines().map(|line| line.trim_start().trim_start_matches("pub ")).any(|line| {
        line.strip_prefix(module).is_some_and(|rest| rest.starts_with(';') || rest == " {")
    })
}

/// Lines that are not blank, not comments and not for tests only. Relies on rustfmt: an item ends
/// with a brace as far to the right as the item begins.
fn code_lines(text: &str) -> usize {
    let mut lines = text.lines();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code == "#[cfg(test)]" {
            let item = lines.by_ref().find(|line| !line.trim_start().starts_with("#["));
            if item.is_some_and(|item| item.ends_with('{')) {
                let end = format!("{}}}", &line[..line.len() - code.len()]);
                lines.by_ref().find(|line| *line == end);
            }
        } else if !code.is_empty() && !code.starts_with("//") {
            count += 1;
        }
    }
    count
}

fn names_a_machine(text: &str) -> bool {
    DIRECTORIES.iter().any(|directory| begins_a_path(text, directory))
        || HOSTS.iter().any(|host| text.contains(host))
}

/// Whether `directory` stands somewhere at the beginning of a path.
fn begins_a_path(text: &str, directory: &str) -> bool {
    text.match_indices(directory).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"~._-*})".contains(c))
    })
}

// In two pieces each, lest this file offend.
const DIRECTORIES: [&str; 3] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

const HOSTS: [&str; 8] = [
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("deb.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("proxy.golang", ".org"),
];
