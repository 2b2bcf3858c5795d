//! `tidegate check` and `run --dry-run` as an operator meets them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn tidegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).output().expect("it runs")
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn example() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("examples/gateway/gateway.toml").display().to_string()
}

#[test]
fn the_example_is_well() {
    let output = tidegate(&["check", &example()]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert!(words(&output).contains("all is well: 2 interfaces, 17 rules"), "{}", words(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let socket = place.path().join("socket");
    let socket = socket.display().to_string();
    let output = tidegate(&["run", &example(), "--dry-run", "--control", &socket]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let told = words(&output);
    for part in ["nothing is:", "lan0 (auto), wan0 (auto)", &socket, "mode 660", "rules.v6"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains("there is no interface `lan0' now"), "{told}");
    assert!(!Path::new(&socket).exists());
}

#[test]
fn every_fault_of_every_file_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).expect("a file");
    write(
        "gateway.toml",
        "rules4 = \"rules.v4\"\nrules6 = \"missing\"\nsysctl = \"sysctl.conf\"\nworkers = 0\n",
    );
    write("rules.v4", "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j NOWHERE\nCOMMIT\n");
    write("sysctl.conf", "net.netfilter.nf_conntrack_max = many\n");
    let file = place.path().join("gateway.toml").display().to_string();
    for args in [&["check", &file][..], &["run", &file, "--dry-run"]] {
        let output = tidegate(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(words(&output).contains("gateway.toml:2: rules6: "), "{}", words(&output));
        assert!(words(&output).contains("gateway.toml:4: workers: must not be 0"));
    }
    let told = words(&tidegate(&["check", &file]));
    assert!(told.contains("rules.v4:3:") && told.contains("NOWHERE"), "{told}");
    assert!(told.contains("sysctl.conf:1:") && told.contains("many"), "{told}");
}

#[test]
fn an_unknown_key_is_refused() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("gateway.toml");
    fs::write(&file, "workers = 1\n[overload]\nmode = \"fair\"\n").expect("a file");
    let output = tidegate(&["check", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words(&output).contains("gateway.toml:2: unknown field `overload`"),
        "{}",
        words(&output)
    );
}

#[test]
fn a_gateway_that_is_not_there_is_not_reloaded() {
    let output = tidegate(&["reload", "--socket", "/nowhere/socket"]);
    assert_eq!(output.status.code(), Some(4), "{}", words(&output));
}
