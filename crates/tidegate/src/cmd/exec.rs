//! `tidegate exec`: runs a program of others' with the library preloaded that takes it to an engine.
//!
//! Whether the dynamic linker will load that library is looked up in the program's ELF header first: a program that
//! names no linker would speak to the kernel, and change there what was meant for the engine.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_gateway::control::socket::probe;

use super::Failure;
use crate::flags::ExecArgs;

/// Becomes the program.
pub(crate) fn run(args: &ExecArgs) -> Result<(), Failure> {
    let [name, rest @ ..] = &args.command[..] else {
        return Err(Failure::Usage("there is no program to run".to_owned()));
    };
    let program = find(name)?;
    check(&program, 0)?;
    let is_socket = fs::metadata(&args.socket).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        let path = args.socket.display();
        return Err(failure(format_args!("{path}: there is no engine's control socket")));
    }
    // Programs have few words for a socket that they don't get, and some crash.
    if let Err(error) = probe(&args.socket) {
        return Err(failure(format_args!("{}: {error}", args.socket.display())));
    }
    let error = Command::new(&program)
        .arg0(name)
        .args(rest)
        .env("TIDEGATE_SOCKET", absolute(&args.socket)?)
        .env("LD_PRELOAD", preloaded(&library(args)?))
        .exec();
    Err(failure(format_args!("{}: {error}", program.display())))
}

fn failure(what: impl std::fmt::Display) -> Failure {
    Failure::System(what.to_string())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| failure(format_args!("{}: {error}", path.display())))
}

/// The library comes before those that are preloaded anyhow.
fn preloaded(library: &Path) -> std::ffi::OsString {
    let mut all = library.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        all.push(":");
        all.push(others);
    }
    all
}

fn library(args: &ExecArgs) -> Result<PathBuf, Failure> {
    const NAME: &str = "libtidegate_preload.so";
    if let Some(given) = &args.library {
        return absolute(given);
    }
    let own = env::current_exe().map_err(failure)?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    let places = [beside.join(NAME), beside.join("../lib").join(NAME)];
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| failure(format_args!("{NAME} is not beside {}", own.display())))
}

/// The file that a shell would run.
fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    let path = Path::new(name);
    if path.components().count() > 1 {
        return Ok(path.to_owned());
    }
    let places = env::var_os("PATH").unwrap_or_default();
    let known = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut files = env::split_paths(&places).chain(known).map(|place| place.join(path));
    let is_program = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    files.find(is_program).ok_or_else(|| failure(format_args!("{}: not found", path.display())))
}

/// How many scripts may name each other as what runs them.
const DEPTH: usize = 4;

/// Refuses a program that would not load the library.
fn check(program: &Path, depth: usize) -> Result<(), Failure> {
    let at = |error: io::Error| failure(format_args!("{}: {error}", program.display()));
    let mut file = File::open(program).map_err(at)?;
    let mode = file.metadata().map_err(at)?.permissions().mode();
    if mode & 0o6000 != 0 {
        let what = "it runs as another user or group than yours, and loads no library of yours";
        return Err(failure(format_args!("{}: {what}", program.display())));
    }
    match kind_of(&mut file).map_err(at)? {
        Kind::Script(runner) if depth < DEPTH => check(&runner, depth + 1),
        Kind::Dynamic | Kind::Script(_) => Ok(()),
        Kind::Static => {
            let what = "it is statically linked, so that it can't be taken to an engine; it would \
                        speak to the kernel, and is not run";
            Err(failure(format_args!("{}: {what}", program.display())))
        }
        Kind::Other => Err(failure(format_args!("{}: this is no program", program.display()))),
    }
}

/// What a program's file is.
enum Kind {
    /// It names the dynamic linker.
    Dynamic,
    /// It doesn't.
    Static,
    /// This runs it.
    Script(PathBuf),
    Other,
}

fn kind_of(file: &mut File) -> io::Result<Kind> {
    let mut head = Vec::new();
    file.by_ref().take(256).read_to_end(&mut head)?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = String::from_utf8_lossy(line);
        let runner = line.lines().next().unwrap_or("").split_whitespace().next();
        return Ok(runner.map_or(Kind::Other, |runner| Kind::Script(runner.into())));
    }
    if !head.starts_with(b"\x7fELF") {
        return Ok(Kind::Other);
    }
    let Some(table) = ProgramHeaders::of(&head) else { return Ok(Kind::Other) };
    for number in 0..table.count {
        let mut kind = [0; 4];
        file.seek(SeekFrom::Start(table.start + number * table.size))?;
        file.read_exact(&mut kind)?;
        if u32::from_ne_bytes(kind) == INTERPRETER {
            return Ok(Kind::Dynamic);
        }
    }
    Ok(Kind::Static)
}

/// `PT_INTERP`
const INTERPRETER: u32 = 3;

/// Where an ELF file of this machine's kind says what the loader has to do.
struct ProgramHeaders {
    start: u64,
    size: u64,
    count: u64,
}

impl ProgramHeaders {
    fn of(head: &[u8]) -> Option<Self> {
        const IS_64: u8 = 2;
        if head.get(4) != Some(&IS_64) {
            return None;
        }
        let half = |at: usize| {
            let bytes = head.get(at..at + 2)?;
            Some(u64::from(u16::from_ne_bytes([bytes[0], bytes[1]])))
        };
        let start = head.get(32..40)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))?;
        Some(Self { start, size: half(54)?, count: half(56)? })
    }
}
