//! Unpacks the capture files of downloaded source archives, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Capture, CaptureError, create_dir, run};

/// Unpacks the captures of the upstream archives in `place` into `dir`, and lists them by path.
pub(super) fn captures(place: &Path, dir: &Path) -> Result<Vec<Capture>, CaptureError> {
    create_dir(dir)?;
    for archive in files(place)?.iter().filter(|path| is_upstream_archive(path)) {
        unpack(archive, place, dir)?;
    }
    let mut captures = Vec::new();
    collect(dir, &mut captures)?;
    captures.sort_by(|a, b| a.path.cmp(&b.path));
    if captures.is_empty() {
        return Err(CaptureError::NoCaptures { place: place.to_owned() });
    }
    Ok(captures)
}

fn unpack(archive: &Path, place: &Path, dir: &Path) -> Result<(), CaptureError> {
    let members = run(Command::new("tar").arg("-tf").arg(archive))?;
    let wanted: Vec<&str> = members.lines().filter(|member| is_capture(member)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let list = place.join("wanted");
    fs::write(&list, wanted.join("\n")).map_err(|error| CaptureError::file(&list, error))?;
    let mut command = Command::new("tar");
    command.arg("-xf").arg(archive).arg("-C").arg(dir);
    command.args(["--strip-components=1", "--no-same-owner", "--no-recursion"]);
    run(command.arg("-T").arg(&list)).map(drop)
}

/// `NAME_VERSION.orig.tar.*` and `NAME_VERSION.orig-PART.tar.*`, not their signatures.
fn is_upstream_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains(".orig") && name.contains(".tar.") && !name.ends_with(".asc")
}

pub(super) fn is_capture(member: &str) -> bool {
    let is_inside = !member.starts_with('/') && member.split('/').all(|part| part != "..");
    is_inside && [".pcap", ".pcapng", ".cap"].iter().any(|suffix| member.ends_with(suffix))
}

/// Links are left out: a capture is a regular file of its own.
fn collect(dir: &Path, captures: &mut Vec<Capture>) -> Result<(), CaptureError> {
    for path in files(dir)? {
        let about =
            fs::symlink_metadata(&path).map_err(|error| CaptureError::file(&path, error))?;
        if about.is_dir() {
            collect(&path, captures)?;
        } else if about.is_file() {
            captures.push(Capture { path, bytes: about.len() });
        } else {
            fs::remove_file(&path).map_err(|error| CaptureError::file(&path, error))?;
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let unreadable = |error| CaptureError::file(dir, error);
    let entries = fs::read_dir(dir).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_captures_inside_of_the_archive_are_wanted() {
        for member in ["a/b/dns.pcap", "a/x.pcapng", "a/y.cap"] {
            assert!(is_capture(member), "{member}");
        }
        for member in ["a/dns.pcap.out", "a/pcap/", "/etc/x.pcap", "a/../../x.cap", "a/x.c"] {
            assert!(!is_capture(member), "{member}");
        }
    }

    #[test]
    fn only_upstream_archives_are_opened() {
        for name in ["n_1.orig.tar.gz", "n_1.orig-data.tar.xz"] {
            assert!(is_upstream_archive(Path::new(name)), "{name}");
        }
        for name in ["n_1.orig.tar.gz.asc", "n_1-2.debian.tar.xz", "n_1-2.dsc"] {
            assert!(!is_upstream_archive(Path::new(name)), "{name}");
        }
    }
}
