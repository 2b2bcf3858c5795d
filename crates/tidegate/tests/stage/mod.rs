//! What tests with a kernel stand on: namespaces of their own, tests that run one after the other, and other people's
//! programs.
//!
//! Takes root, or user namespaces for everybody; a machine that forbids even those makes the tests fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs;
use std::panic::catch_unwind;
use std::process::{Child, Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// The program under test.
pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// Runs those tests whose names contain one of the words of the command line, or all, each on a stage that `set` makes
/// for it. They have namespaces of their own, and the process has one thread when they begin.
pub(crate) fn play(tests: &[(&str, fn())], set: fn()) -> ExitCode {
    become_root();
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let (mut run, mut failed) = (0, 0);
    for (name, test) in tests.iter().filter(|(name, _)| is_wanted(name)) {
        set();
        let is_good = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if is_good { "ok" } else { "FAILED" });
        run += 1;
        failed += usize::from(!is_good);
    }
    println!("{run} tests, {failed} failed");
    if failed == 0 && run > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whoever isn't root enters a user namespace where he is.
fn become_root() {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return;
    }
    unshare(CloneFlags::CLONE_NEWUSER).expect("user namespaces are allowed");
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).unwrap();
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).unwrap();
}

/// How many workers the gateways of a test have: whoever tests them with several says so by the variable that `tidegate
/// run` itself heeds.
pub(crate) fn workers() -> usize {
    std::env::var("TIDEGATE_WORKERS").map_or(1, |workers| workers.parse().unwrap())
}

/// Enters a network of its own, with a loopback.
pub(crate) fn new_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("network namespaces are allowed");
    call("ip", &["link", "set", "lo", "up"]);
}

/// Enters a set of mounts of its own.
pub(crate) fn new_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("mount namespaces are allowed");
    call("mount", &["--make-rprivate", "/"]);
}

/// A program that ends with its value.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program that is looked for among the system's own as well. Not everybody may write where iptables has its lock, and
/// in a network of one's own there is nobody to be kept out.
pub(crate) fn command_of(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("XTABLES_LOCKFILE", "/dev/null");
    command.args(args);
    command
}

/// What a program printed; it must succeed.
pub(crate) fn call(program: &str, args: &[&str]) -> String {
    let output = command_of(program, args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until there is something, ten seconds at most.
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = look() {
            return found;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("it doesn't come");
}

/// The words of a line.
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
