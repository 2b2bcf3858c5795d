//! Signals, as something to wait for and to ask about between two turns.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals that this process is sent from now on.
#[derive(Debug)]
pub struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self { stop: told_of(&[SIGTERM, SIGINT])?, reload: told_of(&[SIGHUP])? })
    }

    /// What has been asked for since the last call, the gravest first.
    pub fn take(&mut self) -> Option<Signal> {
        if was_told(&mut self.stop) {
            return Some(Signal::Stop);
        }
        was_told(&mut self.reload).then_some(Signal::Reload)
    }

    /// What becomes readable when a signal comes.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.stop.as_fd(), self.reload.as_fd()].into_iter()
    }
}

/// A stream from which something can be read when one of these signals has come.
fn told_of(signals: &[i32]) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(*signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn was_told(stream: &mut UnixStream) -> bool {
    let mut bytes = [0; 64];
    matches!(stream.read(&mut bytes), Ok(len) if len > 0)
}
