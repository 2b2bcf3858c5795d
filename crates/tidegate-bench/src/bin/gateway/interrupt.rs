//! An end before the end: the gateway is a process of its own, and would go on in its namespace without anybody to stop
//! it. Namespaces go with those who are in them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::exit;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The process that is a gateway now; 0: there is none.
static GATEWAY: AtomicI32 = AtomicI32::new(0);

/// From now on a signal that ends this process ends the gateway, and takes its files away.
///
/// # Errors
/// The system doesn't let us hear of signals.
pub(crate) fn watch() -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        let signal = signals.forever().next().unwrap_or(SIGTERM);
        end();
        let _ = fs::remove_dir_all(place());
        exit(128 + signal);
    });
    Ok(())
}

/// Whom to end.
pub(crate) fn remember(gateway: u32) {
    GATEWAY.store(gateway as i32, Ordering::SeqCst);
}

/// Tells the gateway to end, if there is one.
pub(crate) fn end() {
    let pid = GATEWAY.swap(0, Ordering::SeqCst);
    if pid != 0 {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// Where its files are.
pub(crate) fn place() -> PathBuf {
    std::env::temp_dir().join(format!("tidegate-gateway-{}", std::process::id()))
}
