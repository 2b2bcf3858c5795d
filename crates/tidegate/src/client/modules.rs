//! Whether the kernel has a part that may be a module, found out without loading it: who asks a part of netfilter that
//! isn't there has it loaded.

use std::fs;
use std::io;

use rustix::system::uname;

/// A part of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The module that it is, where it is one.
    pub(super) module: &'static str,
    /// What the name of one of its functions begins with.
    pub(super) function: &'static str,
}

impl Part {
    /// Whether it can be asked: it is there, or nothing is ever loaded.
    pub(super) fn is_there(self) -> bool {
        self.is_there_by(|path| fs::read_to_string(path))
    }

    fn is_there_by(self, read: impl Fn(&str) -> io::Result<String>) -> bool {
        // A kernel without modules has no such file.
        let Ok(loaded) = read("/proc/modules") else { return true };
        if loaded.lines().any(|line| line.split(' ').next() == Some(self.module)) {
            return true;
        }
        let file = format!("/{}.ko", self.module);
        let release = uname().release().to_string_lossy().into_owned();
        match read(&format!("/lib/modules/{release}/modules.builtin")) {
            Ok(builtin) => builtin.lines().any(|line| line.ends_with(&file)),
            Err(_) => read("/proc/kallsyms").is_ok_and(|symbols| self.is_among(&symbols)),
        }
    }

    /// `address kind name`, and of a module's symbol its name behind that.
    fn is_among(self, symbols: &str) -> bool {
        let mut names = symbols.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
        names.any(|name| name.starts_with(self.function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: what it shows, /proc/modules, modules.builtin, /proc/kallsyms, whether it may be asked.
    #[test]
    fn a_part_that_would_be_loaded_is_not_asked() {
        let part = Part { module: "nfnetlink_cttimeout", function: "cttimeout_" };
        let loaded = Some("nfnetlink_cttimeout 16384 0 - Live 0x0\n");
        let other = Some("nf_conntrack 1 0 - Live 0x0\n");
        let builtin = Some("kernel/net/netfilter/nfnetlink_cttimeout.ko\n");
        let symbols = Some("0000000000000000 t cttimeout_new_timeout\n");
        let rows = [
            ("a kernel without modules", [None, None, None], true),
            ("loaded", [loaded, Some(""), None], true),
            ("built in", [other, builtin, None], true),
            ("built in, in a container", [other, None, symbols], true),
            ("not loaded", [other, Some(""), symbols], false),
            ("not loaded, in a container", [other, None, Some("0 t nf_conntrack_in\n")], false),
            ("nobody tells", [other, None, None], false),
        ];
        for (what, [modules, builtin, symbols], expected) in rows {
            let read = |path: &str| {
                let text = match path {
                    "/proc/modules" => modules,
                    "/proc/kallsyms" => symbols,
                    _ => builtin,
                };
                text.map(str::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
            };
            assert_eq!(part.is_there_by(read), expected, "{what}");
        }
    }
}
