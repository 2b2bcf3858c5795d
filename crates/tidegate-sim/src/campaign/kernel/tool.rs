//! Runs the system's own tools in the thread's network namespace.

use std::io::Write;
use std::process::{Command, Stdio};

use super::error::KernelError;

/// Runs a tool on some input and returns what it printed.
///
/// # Errors
/// It is not installed, or it failed.
pub(super) fn run(tool: &'static str, args: &[&str], input: &str) -> Result<String, KernelError> {
    let missing = |error| KernelError::Tool { tool, output: format!("{error}") };
    let mut child = Command::new(tool)
        .args(args)
        // Tools of the administrator are not on everybody's path, nor may everybody write
        // where iptables has its lock.
        .env("PATH", search_path())
        .env("XTABLES_LOCKFILE", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that stops reading says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().map_err(missing)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() {
        return Ok(text(&done.stdout));
    }
    let output = format!("{}\n{}\n{}", text(&done.stdout), text(&done.stderr), input);
    Err(KernelError::Tool { tool, output: output.trim().to_owned() })
}

fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
}
