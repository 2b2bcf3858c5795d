//! The settings of a table: files of the kernel, or what an engine says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::tidegate::{self, Attribute, message};

use super::error::ClientError;
use super::place::Place;
use super::saved::Saved;
use super::{Request, Table};

/// The settings of a table, under Linux's names such as `net.netfilter.nf_conntrack_max`.
pub(crate) enum Settings {
    /// The kernel's, of the namespace that the thread is in.
    Kernel,
    /// An engine's.
    Engine(Table),
    /// Those in a file.
    Saved(Saved, Vec<(String, String)>),
}

impl Settings {
    /// Those of a table.
    ///
    /// # Errors
    /// It can't be reached.
    pub(crate) fn of(place: &Place) -> Result<Self, ClientError> {
        match place {
            Place::Kernel(_) => Ok(Self::Kernel),
            Place::Engine(_) => Table::open(place).map(Self::Engine),
            Place::File(saved) => Ok(Self::Saved(saved.clone(), saved.settings()?)),
        }
    }

    /// All names and values, in the order of names. Of the kernel's those that the namespace has: parameters of modules,
    /// which are the machine's, are not among them.
    ///
    /// # Errors
    /// They can't be read.
    pub(crate) fn all(&mut self) -> Result<Vec<(String, String)>, ClientError> {
        let mut all = match self {
            Self::Kernel => {
                let mut all = Vec::new();
                read_dir(&path_of(PREFIX), &format!("{PREFIX}."), &mut all)?;
                all
            }
            Self::Engine(table) => ask(table, None)?,
            Self::Saved(_, all) => all.clone(),
        };
        all.sort();
        Ok(all)
    }

    /// The value of a name.
    ///
    /// # Errors
    /// There is none of the name, or it can't be read.
    pub(crate) fn value(&mut self, name: &str) -> Result<String, ClientError> {
        match self {
            Self::Kernel => read(&path_of(name)),
            Self::Engine(table) => {
                let found = ask(table, Some(name))?.into_iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value).ok_or(ClientError::Refused(Errno::NOENT))
            }
            Self::Saved(_, all) => {
                let found = all.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).ok_or(ClientError::Refused(Errno::NOENT))
            }
        }
    }

    /// Changes the value of a name.
    ///
    /// # Errors
    /// There is none of the name, it can't be changed, or not to this value.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), ClientError> {
        match self {
            Self::Kernel => {
                let path = path_of(name);
                fs::write(&path, value).map_err(|error| ClientError::File { path, error })
            }
            Self::Engine(table) => {
                let request = request(message::SET, Some(name), Some(value));
                table.ask(&request).map(drop)
            }
            Self::Saved(saved, _) => Err(ClientError::ReadOnly(saved.path.clone())),
        }
    }
}

/// The helper's module and its parameter that a name means, such as `nf_conntrack_ftp.loose` on the kernel's command line.
pub(crate) fn module_of(name: &str) -> Option<(&str, &str)> {
    name.split_once('.').filter(|(module, _)| module.starts_with(MODULE))
}

/// Parameters of helpers' modules are the machine's and no namespace's.
fn path_of(name: &str) -> PathBuf {
    match module_of(name) {
        Some((module, parameter)) => {
            Path::new(MODULES).join(module).join("parameters").join(parameter)
        }
        None => Path::new(ROOT).join(name.replace('.', "/")),
    }
}

fn read(path: &Path) -> Result<String, ClientError> {
    let at = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ClientError::NoSetting(path.to_owned()),
        _ => ClientError::File { path: path.to_owned(), error },
    };
    fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(at)
}

fn read_dir(dir: &Path, prefix: &str, all: &mut Vec<(String, String)>) -> Result<(), ClientError> {
    let at = |error| ClientError::File { path: dir.to_owned(), error };
    for entry in fs::read_dir(dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        if path.is_dir() {
            read_dir(&path, &format!("{prefix}{name}."), all)?;
        } else if let Ok(value) = read(&path) {
            // Those that nobody may read are none of ours.
            all.push((format!("{prefix}{name}"), value));
        }
    }
    Ok(())
}

fn ask(table: &mut Table, name: Option<&str>) -> Result<Vec<(String, String)>, ClientError> {
    let mut all = Vec::new();
    table.dump(&request(message::SETTINGS, name, None), |message| {
        let (_, attrs) = message.body()?;
        let (mut name, mut value) = (None, None);
        for attribute in tidegate::attributes(attrs) {
            match attribute? {
                Attribute::Name(bytes) => name = Some(text(bytes)),
                Attribute::Value(bytes) => value = Some(text(bytes)),
                _ => {}
            }
        }
        all.extend(name.zip(value));
        Ok::<_, ClientError>(())
    })?;
    Ok(all)
}

fn request(number: u8, name: Option<&str>, value: Option<&str>) -> Request {
    Request::new(Subsystem::Tidegate, number, Family::default()).with(|writer| {
        if let Some(name) = name {
            Attribute::Name(name.as_bytes()).write(writer);
        }
        if let Some(value) = value {
            Attribute::Value(value.as_bytes()).write(writer);
        }
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches(['\0', '\n']).to_owned()
}

const ROOT: &str = "/proc/sys";
const MODULES: &str = "/sys/module";
/// How the names of modules begin that helpers are in.
const MODULE: &str = "nf_conntrack_";
const PREFIX: &str = "net.netfilter";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_of_a_namespace_or_of_a_module() {
        let rows = [
            ("net.netfilter.nf_log.2", "/proc/sys/net/netfilter/nf_log/2"),
            ("net.nf_conntrack_max", "/proc/sys/net/nf_conntrack_max"),
            ("nf_conntrack_ftp.loose", "/sys/module/nf_conntrack_ftp/parameters/loose"),
        ];
        for (name, path) in rows {
            assert_eq!(path_of(name), Path::new(path), "{name}");
        }
    }
}
