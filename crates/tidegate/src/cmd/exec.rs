//! `tidegate exec`: a program that speaks ctnetlink to the kernel, led to an engine.
//!
//! The work is the shim's, `tidegate-preload`, which the dynamic loader puts between the program and libc. Here it is
//! seen to that this can work: the program would else speak to the kernel, and nobody would know.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};
use rustix::fs::fgetxattr;

use super::Failure;
use crate::client::Table;
use crate::flags::ExecArgs;

/// Runs the command: becomes the program.
pub(crate) fn run(args: &ExecArgs) -> Result<(), Failure> {
    let (name, arguments) =
        args.program.split_first().ok_or(Obstacle::NoProgram(OsString::new()))?;
    let path = find(name)?;
    check(&path, &path, MOST_INTERPRETERS)?;
    // The program would say less clearly that nobody is there.
    drop(Table::open(&args.engine.place())?);
    let shim = shim(args.preload.as_deref())?;
    let socket = &args.engine.socket;
    let error = Command::new(&path)
        .arg0(name)
        .args(arguments)
        .env("TIDEGATE_SOCKET", fs::canonicalize(socket).unwrap_or(socket.clone()))
        .env("LD_PRELOAD", preloaded(&shim))
        .exec();
    Err(Obstacle::Unreadable(path, error).into())
}

/// Why a program can't be led to an engine.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// There is none of the name.
    NoProgram(OsString),
    /// It, or the shim, can't be read or run.
    Unreadable(PathBuf, io::Error),
    /// It has no dynamic loader.
    Static(PathBuf),
    /// It gains privileges, for which the loader ignores all shims.
    Privileged(PathBuf),
    /// It is neither a program of this machine nor a script.
    Unknown(PathBuf),
    /// The shim isn't where it is looked for.
    NoShim(Vec<PathBuf>),
}

impl Obstacle {
    /// The exit status that shells give it.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::NoProgram(_) => 127,
            _ => 126,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram(name) => write!(f, "{}: no such program", name.display()),
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Static(path) => write!(
                f,
                "{} is statically linked: no shim can be put before its system calls. `tidegate list' \
                 and its like speak to the engine themselves",
                path.display()
            ),
            Self::Privileged(path) => write!(
                f,
                "{} gains privileges when it starts, and so takes no shim. A copy without them does",
                path.display()
            ),
            Self::Unknown(path) => write!(f, "{} is no program of this machine", path.display()),
            Self::NoShim(places) => {
                write!(f, "the shim is not there, --preload names its place; looked for")?;
                places.iter().try_for_each(|place| write!(f, " {}", place.display()))
            }
        }
    }
}

/// As a shell finds it.
fn find(name: &OsStr) -> Result<PathBuf, Obstacle> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // conntrack(8) is where an ordinary user doesn't look.
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = env::split_paths(&path).chain(more).map(|dir| dir.join(name));
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    places.find(is_program).ok_or_else(|| Obstacle::NoProgram(name.to_owned()))
}

/// Whether the loader puts a shim into a program; `named` is what the user called it. A script may name an interpreter
/// that is a script, `depth` times.
fn check(path: &Path, named: &Path, depth: u8) -> Result<(), Obstacle> {
    let unreadable = |error| Obstacle::Unreadable(path.to_owned(), error);
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut capabilities = [0_u8; 64];
    let named_so = "security.capability";
    let has_capabilities = fgetxattr(&file, named_so, &mut capabilities[..]).is_ok();
    if has_capabilities || mode & (SET_USER | SET_GROUP) != 0 {
        return Err(Obstacle::Privileged(named.to_owned()));
    }
    let mut reader = BufReader::new(file);
    if let Some(interpreter) = interpreter_of_script(&mut reader).map_err(unreadable)? {
        let depth = depth.checked_sub(1).ok_or_else(|| Obstacle::Unknown(named.to_owned()))?;
        return check(&interpreter, named, depth);
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(unreadable)?;
    match has_loader(&bytes) {
        Some(true) => Ok(()),
        Some(false) => Err(Obstacle::Static(named.to_owned())),
        None => Err(Obstacle::Unknown(named.to_owned())),
    }
}

/// What stands behind `#!`, or behind the `env` there, its options (`-S`) and settings.
fn interpreter_of_script(reader: &mut impl BufRead) -> io::Result<Option<PathBuf>> {
    if !reader.fill_buf()?.starts_with(b"#!") {
        return Ok(None);
    }
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    let words = line[2..].split(|byte| byte.is_ascii_whitespace());
    let mut words = words.filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    if Path::new(OsStr::from_bytes(first)).file_name() == Some(OsStr::new("env")) {
        let is_program = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
        let name = words.find(is_program).map(OsStr::from_bytes);
        return Ok(name.and_then(|name| find(name).ok()));
    }
    Ok(Some(PathBuf::from(OsString::from_vec(first.to_vec()))))
}

/// Whether a program names a dynamic loader; `None`: it isn't one.
fn has_loader(bytes: &[u8]) -> Option<bool> {
    match FileKind::parse(bytes).ok()? {
        FileKind::Elf32 if cfg!(target_pointer_width = "32") => {
            names_loader::<FileHeader32<Endianness>>(bytes)
        }
        FileKind::Elf64 if cfg!(target_pointer_width = "64") => {
            names_loader::<FileHeader64<Endianness>>(bytes)
        }
        _ => None,
    }
}

fn names_loader<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<bool> {
    let header = H::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, bytes).ok()?;
    Some(segments.iter().any(|segment| segment.p_type(endian) == object::elf::PT_INTERP))
}

/// Where the shim is.
fn shim(given: Option<&Path>) -> Result<PathBuf, Obstacle> {
    let places = match given {
        Some(path) => vec![path.to_owned()],
        None => usual_places(),
    };
    let found = places.iter().find_map(|place| fs::canonicalize(place).ok());
    found.ok_or(Obstacle::NoShim(places))
}

fn usual_places() -> Vec<PathBuf> {
    let own = env::current_exe().unwrap_or_default();
    let dir = own.parent().unwrap_or(Path::new("/"));
    ["", "../lib/tidegate", "../lib"].map(|place| dir.join(place).join(SHIM)).into()
}

/// The shim before those that the user has already.
fn preloaded(shim: &Path) -> OsString {
    let mut all = shim.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        all.push(":");
        all.push(others);
    }
    all
}

const SHIM: &str = "libtidegate_preload.so";
/// Linux: `exec_binprm`.
const MOST_INTERPRETERS: u8 = 5;
const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
/// Linux: `BINPRM_BUF_SIZE`.
const LONGEST_LINE: u64 = 256;
