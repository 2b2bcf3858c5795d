//! The kernel, where it would forward the same packets.
//!
//! A data plane sees copies. Where the kernel isn't kept away from the originals, and forwards, every packet leaves
//! twice, once without a rule. So it is asked whether it does; and [`TakeOver`] has it stop for as long as it lives.

use std::fs;
use std::io;
use std::path::PathBuf;

/// The switches, by family.
const SWITCHES: [(&str, &str); 2] = [
    ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
    ("net.ipv6.conf.all.forwarding", "/proc/sys/net/ipv6/conf/all/forwarding"),
];

/// What each switch changes of every interface. Linux: `inet_forward_change`, `addrconf_forward_change`.
const CHANGED: [(&str, &[&str]); 2] = [
    ("/proc/sys/net/ipv4/conf", &["forwarding", "accept_redirects"]),
    ("/proc/sys/net/ipv6/conf", &["forwarding"]),
];

/// Which switches say that the kernel of this network namespace forwards.
#[must_use]
pub fn forwarding() -> Vec<&'static str> {
    let is_on = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() != "0");
    SWITCHES.into_iter().filter(|(_, path)| is_on(path)).map(|(name, _)| name).collect()
}

/// The kernel has been told not to forward; it goes on when this goes.
#[derive(Debug)]
pub struct TakeOver {
    /// What the switches were, and all that they change: to be written in this order.
    before: Vec<(PathBuf, String)>,
}

impl TakeOver {
    /// Has the kernel stop.
    ///
    /// # Errors
    /// It may not be told; all is as before.
    pub fn begin() -> io::Result<Self> {
        let mut taken = Self { before: Vec::new() };
        for ((_, path), changed) in SWITCHES.into_iter().zip(CHANGED) {
            // Where there is no switch there is no such family.
            let Ok(before) = fs::read_to_string(path) else { continue };
            if before.trim() == "0" {
                continue;
            }
            let of_interfaces = settings(changed);
            fs::write(path, "0")?;
            taken.before.push((PathBuf::from(path), before));
            taken.before.extend(of_interfaces);
        }
        Ok(taken)
    }

    /// Whether there was anything to stop.
    #[must_use]
    pub fn has_stopped_any(&self) -> bool {
        !self.before.is_empty()
    }
}

/// What the interfaces' settings are now.
fn settings((directory, names): (&str, &[&str])) -> Vec<(PathBuf, String)> {
    let interfaces = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = interfaces.flat_map(|one| names.iter().map(move |name| one.path().join(name)));
    paths.filter_map(|path| Some((path.clone(), fs::read_to_string(path).ok()?))).collect()
}

impl Drop for TakeOver {
    fn drop(&mut self) {
        for (path, value) in &self.before {
            // Who can't give it back has told that at the start: the right to is kept.
            if fs::read_to_string(path).is_ok_and(|now| now != *value) {
                let _ = fs::write(path, value);
            }
        }
    }
}
