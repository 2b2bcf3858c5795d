//! conntrack(8) as its users call it: in a namespace of the kernel's, and with the library preloaded that takes it to an
//! engine's socket. Both run the same command lines, and what is printed and returned must be the same.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use super::namespace::{self, SETTINGS};
use super::text::comparable;
use super::{Failure, Report};

const COMMANDS: &str = include_str!("commands.txt");

/// What a command line came to.
type Outcome = (String, Option<i32>);

/// Where the program and its library are.
#[derive(Clone, Debug)]
pub struct Build {
    /// The directory of `tidegate` and `libtidegate_preload.so`.
    pub dir: PathBuf,
}

/// Runs all command lines on both sides.
///
/// # Errors
/// A tool is missing, the kernel can't be asked, or the engine doesn't start.
pub fn compare(build: &Build) -> Result<Report, Failure> {
    let lines: Vec<&str> = COMMANDS.lines().filter(|line| !line.starts_with('#')).collect();
    let kernel = on_kernel(&lines)?;
    let engine = on_engine(&lines, build)?;
    let mut report = Report::default();
    for ((line, kernel), engine) in lines.iter().zip(kernel).zip(engine) {
        let shown = |(text, status): Outcome| format!("{text}\nexit status {status:?}");
        report.add(line, &shown(kernel), &shown(engine));
    }
    Ok(report)
}

fn on_kernel(lines: &[&str]) -> Result<Vec<Outcome>, Failure> {
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            namespace::enter(&SETTINGS)?;
            run_all(lines, &[])
        });
        run.join().map_err(|_| "the kernel's side has panicked")?
    })
}

fn on_engine(lines: &[&str], build: &Build) -> Result<Vec<Outcome>, Failure> {
    let place = env::temp_dir().join(format!("tidegate-interop-{}", std::process::id()));
    fs::create_dir(&place)?;
    let outcome = Daemon::start(build, &place).and_then(|daemon| {
        let library = build.dir.join("libtidegate_preload.so");
        let library = library.to_str().ok_or("a path that is no text")?;
        let socket = daemon.socket.to_str().ok_or("a path that is no text")?;
        run_all(lines, &[("LD_PRELOAD", library), ("TIDEGATE_SOCKET", socket)])
    });
    fs::remove_dir_all(&place)?;
    outcome
}

fn run_all(lines: &[&str], variables: &[(&str, &str)]) -> Result<Vec<Outcome>, Failure> {
    lines.iter().map(|line| run(line, variables)).collect()
}

fn run(line: &str, variables: &[(&str, &str)]) -> Result<Outcome, Failure> {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let done = Command::new("timeout")
        .args(["20", "bash", "-c", line])
        .env("PATH", path)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("timeout: {error}"))?;
    let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if done.status.code() == Some(127) {
        return Err(format!("{line}: {}", text[1]).into());
    }
    Ok((comparable(&text.join("\n")), done.status.code()))
}

/// A daemon; it ends with its value.
struct Daemon {
    process: Child,
    socket: PathBuf,
}

impl Daemon {
    fn start(build: &Build, place: &Path) -> Result<Self, Failure> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let (socket, settings) = (place.join("socket"), place.join("sysctl.conf"));
        let lines = SETTINGS.map(|(name, value)| format!("{name} = {value}\n"));
        fs::write(&settings, lines.concat())?;
        let program = build.dir.join("tidegate");
        let process = Command::new(&program)
            .arg("run")
            .arg("--control")
            .arg(&socket)
            .arg("--sysctl")
            .arg(&settings)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let daemon = Self { process, socket };
        let begun = begin();
        while !daemon.socket.exists() {
            if begun.elapsed() > PATIENCE {
                return Err("the engine doesn't come up".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a program may take to start")]
fn begin() -> Instant {
    Instant::now()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
