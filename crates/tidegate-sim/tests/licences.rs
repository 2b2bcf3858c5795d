//! Every dependency's licence is on the list in `deny.toml`.
//!
//! What is built for this machine is looked at, whoever needs it: shipped crates, tests and build
//! scripts. The list is `cargo deny`'s own, so that the two can't disagree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[test]
fn every_dependency_is_licensed_as_we_allow() {
    let allowed = allow_list(&repository().join("deny.toml"));
    let packages = packages();
    assert!(packages.len() > 10, "only {} packages: is this the whole graph?", packages.len());
    let refused: Vec<String> =
        packages.iter().filter_map(|package| refusal(package, &allowed)).collect();
    assert!(refused.is_empty(), "not allowed by deny.toml:\n{}", refused.join("\n"));
}

/// Each row: what it shows, the expression, whether a list of MIT, ISC and one exception allows it;
/// `None` where it is no expression.
#[test]
fn expressions_are_weighed_as_spdx_says() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    let rows = [
        ("a listed licence", "MIT", Some(true)),
        ("another one", "GPL-3.0-only", Some(false)),
        ("a name that only begins like a listed one", "MIT-feh", Some(false)),
        ("a choice with a listed licence", "GPL-2.0-only OR MIT", Some(true)),
        ("a choice without", "GPL-2.0-only OR EUPL-1.2", Some(false)),
        ("both apply, both are listed", "MIT AND ISC", Some(true)),
        ("both apply, one is not listed", "MIT AND GPL-2.0-only", Some(false)),
        ("AND binds closer than OR", "GPL-2.0-only AND ISC OR MIT", Some(true)),
        ("on either side", "MIT OR ISC AND GPL-2.0-only", Some(true)),
        ("unless parentheses say otherwise", "(MIT OR ISC) AND GPL-2.0-only", Some(false)),
        ("a choice within", "(GPL-2.0-only OR MIT) AND ISC", Some(true)),
        ("an exception is part of the name", "Apache-2.0 WITH LLVM-exception", Some(true)),
        ("the licence alone is another", "Apache-2.0", Some(false)),
        ("the slash of old manifests is a choice", "GPL-2.0-only/MIT", Some(true)),
        ("nothing", "", None),
        ("an operator without its right side", "MIT OR", None),
        ("an operator that nobody knows", "MIT XOR ISC", None),
        ("an open parenthesis", "(MIT OR ISC", None),
        ("a closed one too many", "MIT)", None),
        ("an exception to nothing", "WITH LLVM-exception", None),
    ];
    for (what, expression, expected) in rows {
        assert_eq!(is_allowed(expression, &allowed), expected, "{what}: `{expression}'");
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The strings of `allow = [...]`.
fn allow_list(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("deny.toml");
    let (_, list) = text.split_once("\nallow = [").expect("a list of licences");
    let (list, _) = list.split_once(']').expect("the list's end");
    let names: Vec<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!names.is_empty(), "deny.toml allows no licence at all");
    names
}

/// What Cargo.lock says, for this machine's target. Once the workspace's tests are built nothing of
/// it has to be fetched.
fn packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .args(["--filter-platform", "host-tuple"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {complaint}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata are JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// Why a package may not come in, if so.
fn refusal(package: &Value, allowed: &[String]) -> Option<String> {
    let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap_or("?"));
    let licence = package["license"].as_str();
    let reason = match licence.map(|licence| is_allowed(licence, allowed)) {
        Some(Some(true)) => return None,
        Some(Some(false)) => "is not allowed",
        Some(None) => "is no SPDX expression",
        None => "is not told by its manifest",
    };
    Some(format!("{name} {version}: its licence `{}' {reason}", licence.unwrap_or_default()))
}

/// Whether an SPDX expression can be satisfied by the licences of the list; `None` if it isn't one.
fn is_allowed(expression: &str, allowed: &[String]) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let verdict = words.any()?;
    words.next().is_none().then_some(verdict)
}

/// A reader of SPDX expressions, which are evaluated as they are read.
struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [String],
}

impl<'a> Words<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut verdict = self.all()?;
        while self.take("OR") {
            verdict |= self.all()?;
        }
        Some(verdict)
    }

    fn all(&mut self) -> Option<bool> {
        let mut verdict = self.term()?;
        while self.take("AND") {
            verdict &= self.term()?;
        }
        Some(verdict)
    }

    fn term(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.any()?;
            return self.take(")").then_some(verdict);
        }
        let mut licence = self.name()?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Some(self.allowed.contains(&licence))
    }

    fn name(&mut self) -> Option<&'a str> {
        self.next().filter(|word| !["OR", "AND", "WITH", "(", ")"].contains(word))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }
}
