//! The lab's files: the rules and settings of its gateway, and the names of its hosts.

use std::fs;
use std::path::{Path, PathBuf};

use std::ffi::OsString;

use super::Obstacle;
use super::namespace;
use super::topology::{CLIENT, INSIDE, SERVER};
use crate::flags::lab::LabArgs;

/// Where they are.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    /// Rules of IPv4.
    pub(super) rules4: PathBuf,
    /// Rules of IPv6.
    pub(super) rules6: PathBuf,
    /// Settings.
    pub(super) sysctl: PathBuf,
    /// More options for the gateway.
    pub(super) more: Vec<OsString>,
    /// How many workers the gateway has.
    pub(super) workers: u16,
}

impl Files {
    /// Writes them, but for those that the user has.
    pub(super) fn write(dir: &Path, args: &LabArgs) -> Result<Self, Obstacle> {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            let written = fs::write(&path, text);
            written.map(|()| path.clone()).map_err(|error| Obstacle::File(path, error))
        };
        let or_own = |own: &Option<PathBuf>, name: &str, text: &str| match own {
            Some(own) => Ok(own.clone()),
            None => write(name, text),
        };
        write("hosts", &hosts())?;
        write("resolv.conf", &format!("nameserver {}\n", SERVER.0))?;
        Ok(Self {
            dir: dir.to_owned(),
            rules4: or_own(&args.rules4, "rules.v4", include_str!("rules.v4"))?,
            rules6: or_own(&args.rules6, "rules.v6", include_str!("rules.v6"))?,
            sysctl: write("sysctl.conf", include_str!("sysctl.conf"))?,
            workers: args.workers,
            more: args.gateway_arg.clone(),
        })
    }

    /// The control socket of the gateway.
    pub(super) fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// What the gateway says.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("gateway.log")
    }

    /// Where a program may have its lock.
    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("xtables.lock")
    }

    /// Lets programs of the lab find its hosts by name. A machine without such files looks nothing up in them.
    pub(super) fn cover_names(&self) -> Result<(), Obstacle> {
        for (file, name) in [("/etc/hosts", "hosts"), ("/etc/resolv.conf", "resolv.conf")] {
            if Path::new(file).exists() {
                let covered = namespace::cover(file, &self.dir.join(name));
                covered.map_err(|error| Obstacle::File(file.into(), error))?;
            }
        }
        Ok(())
    }
}

fn hosts() -> String {
    let of = |name: &str, host: super::topology::Addresses| {
        format!("{} {name}\n{} {name}\n", host.0, host.1)
    };
    ["127.0.0.1 localhost\n::1 localhost\n".to_owned()]
        .into_iter()
        .chain([of("client", CLIENT), of("gateway", INSIDE), of("server", SERVER)])
        .collect()
}
