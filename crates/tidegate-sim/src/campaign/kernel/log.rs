//! The lines that LOG rules write into the kernel's log, which is the whole machine's.
//!
//! The kernel logs for the first network namespace alone, unless a switch is on. Only the machine's
//! own root may turn it. Every rule of an experiment writes a prefix that is the experiment's own,
//! because others may log as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nix::libc::O_NONBLOCK;

/// The switch, turned on. It goes back to what it was when this is dropped.
#[derive(Debug)]
pub(super) struct Switch {
    file: File,
    before: Vec<u8>,
}

impl Switch {
    /// Turns it; `None` for whoever may not. To be called in the first network namespace.
    pub(super) fn turn() -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(SWITCH).ok()?;
        let switch = Self { before: fs::read(SWITCH).ok()?, file };
        switch.renew();
        switch.is_on().then_some(switch)
    }

    /// Turns it on once more: somebody else may have turned it off.
    pub(super) fn renew(&self) {
        // Whether it is on is asked again.
        let _ = self.file.write_at(b"1", 0);
    }

    /// Whether it is on.
    pub(super) fn is_on(&self) -> bool {
        let mut first = [0];
        self.file.read_at(&mut first, 0).is_ok() && first == *b"1"
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // There is nobody to tell that it failed.
        let _ = self.file.write_at(&self.before, 0);
    }
}

/// The log from now on.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    prefix: String,
    is_whole: bool,
}

impl Log {
    /// Listens to lines that begin with `prefix`.
    pub(super) fn open(prefix: &str) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, prefix: prefix.to_owned(), is_whole: true })
    }

    /// Whether no line was overwritten before it was heard.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The lines since the last look.
    pub(super) fn heard(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match self.file.read(&mut buffer) {
                Ok(len) => lines.extend(self.own_line(&buffer[..len])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(lines),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_whole = false,
                Err(error) => return Err(error),
            }
        }
    }

    /// A record's text, which stands between a semicolon and the end of the line.
    fn own_line(&self, record: &[u8]) -> Option<String> {
        let record = String::from_utf8_lossy(record);
        let (_, rest) = record.split_once(';')?;
        let text = rest.lines().next()?;
        text.starts_with(&self.prefix).then(|| text.trim_end().to_owned())
    }
}

const SWITCH: &str = "/proc/sys/net/netfilter/nf_log_all_netns";
