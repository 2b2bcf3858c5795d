//! A capture that is read by a thread of its own: what comes by a pipe may take its time, and nobody else waits for it.
//!
//! The thread begins when somebody asks for the first frame, with what the process may do by then. It keeps the pace and
//! is a bounded number of frames ahead.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use tidegate_wire::pcap::{Capture, CaptureError, LinkType};

use crate::clock::Stopwatch;
use crate::daemon::Pace;
use crate::replay::Cause;

/// Frames that may wait.
const AHEAD: usize = 1024;

/// See the module's documentation.
pub struct Feed {
    source: Option<(Source, Pace)>,
    frames: Option<Receiver<Fed>>,
    /// Readable if there may be something.
    watch: Arc<OwnedFd>,
    is_at_end: bool,
}

/// A frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FedFrame {
    /// When it was captured, in nanoseconds since 1970.
    pub time: u64,
    /// What its first header is.
    pub link: LinkType,
    /// The bytes captured.
    pub data: Vec<u8>,
    /// How long it was on the wire, in bytes.
    pub orig_len: u32,
}

/// What comes out of a capture.
pub type Fed = Result<FedFrame, CaptureError>;

enum Source {
    /// A file, whose header has been read.
    File(Capture<File>),
    /// Something else, which may take its time even for that.
    Pipe(File),
}

impl Feed {
    /// Opens a capture. Of a file it is seen at once whether it is one.
    ///
    /// # Errors
    /// There is none.
    pub fn open(path: &Path, pace: Pace) -> Result<Self, Cause> {
        let source = if path.metadata().map_err(Cause::Io)?.is_file() {
            let file = File::open(path).map_err(Cause::Io)?;
            Source::File(Capture::open(file).map_err(Cause::Capture)?)
        } else {
            // Who opens a named pipe for reading alone waits for a writer.
            let both = File::options().read(true).write(true).open(path);
            Source::Pipe(both.or_else(|_| File::open(path)).map_err(Cause::Io)?)
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let watch = eventfd(0, flags).map_err(|error| Cause::Io(error.into()))?;
        let (source, watch) = (Some((source, pace)), Arc::new(watch));
        Ok(Self { source, frames: None, watch, is_at_end: false })
    }

    /// What can be polled for reading; readable if there may be a frame.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Whether nothing more will come.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The next frame, if it is there; behind an error there is none.
    pub fn take(&mut self) -> Option<Fed> {
        if let Some((source, pace)) = self.source.take() {
            let (sender, frames) = sync_channel(AHEAD);
            let watch = Arc::clone(&self.watch);
            thread::spawn(move || Reader { sender, watch }.read(source, pace));
            self.frames = Some(frames);
        }
        // What comes between the two looks sets the watch again.
        let found = self.look().or_else(|| {
            let _ = rustix::io::read(&self.watch, &mut [0; 8]);
            self.look()
        });
        if matches!(found, Some(Err(_))) {
            self.is_at_end = true;
            // Who keeps it until what came before is gone wants to be woken for it.
            wake(&self.watch);
        }
        found
    }

    fn look(&mut self) -> Option<Fed> {
        match self.frames.as_ref()?.try_recv() {
            Ok(fed) => Some(fed),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.is_at_end = true;
                None
            }
        }
    }
}

/// The thread.
struct Reader {
    sender: SyncSender<Fed>,
    watch: Arc<OwnedFd>,
}

impl Drop for Reader {
    /// That there is no more is something to be told, too.
    fn drop(&mut self) {
        self.wake();
    }
}

impl Reader {
    fn read(self, source: Source, pace: Pace) {
        let opened = match source {
            Source::File(capture) => Ok(capture),
            Source::Pipe(file) => Capture::open(file),
        };
        match opened {
            Ok(capture) => self.read_all(capture, pace),
            Err(error) => drop(self.hand_over(Err(error))),
        }
    }

    fn read_all(&self, mut capture: Capture<File>, pace: Pace) {
        let mut began: Option<(u64, Stopwatch)> = None;
        loop {
            let fed = match capture.next_frame() {
                Ok(None) => return,
                Err(error) => Err(error),
                Ok(Some(frame)) => {
                    let (first, start) = began.get_or_insert((frame.time, Stopwatch::start()));
                    if pace == Pace::AsRecorded {
                        let due = Duration::from_nanos(frame.time.saturating_sub(*first));
                        thread::sleep(due.saturating_sub(start.elapsed()));
                    }
                    let (time, link, orig_len) = (frame.time, frame.link, frame.orig_len);
                    Ok(FedFrame { time, link, data: frame.data.to_vec(), orig_len })
                }
            };
            if !self.hand_over(fed) {
                return;
            }
        }
    }

    /// Whether anybody wants more.
    fn hand_over(&self, fed: Fed) -> bool {
        let is_wanted = self.sender.send(fed).is_ok();
        self.wake();
        is_wanted
    }

    fn wake(&self) {
        wake(&self.watch);
    }
}

fn wake(watch: &OwnedFd) {
    // If the count is full it is readable all the more.
    let _ = rustix::io::write(watch, &1_u64.to_ne_bytes());
}
