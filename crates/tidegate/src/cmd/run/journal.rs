//! What a gateway writes down of packets: lines of LOG rules on stderr, copies of NFLOG rules in a capture. And what it
//! says itself while packets come.
//!
//! A thread writes, so that no packet waits for a disk or a reader. What waits for it is bounded, and so is the capture;
//! what finds no room is lost, counted and told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidegate_engine::log::{LogLine, LogTopic, PacketCopy};
use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::config::Log;
use tidegate_gateway::daemon::Logged;
use tidegate_gateway::replay::Fault;

use crate::capture::{NFLOG, Sink, copied};
use crate::message;
use crate::snapshot::create_anew;

/// As many lines and copies may wait.
const BACKLOG: usize = 8192;
/// So long is waited at the end for what is still to be written, and looked whether it is.
const PATIENCE: Duration = Duration::from_secs(2);
const BREATH: Duration = Duration::from_millis(2);
/// Losses are told as often, and at the end.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The capture that copies go to, before anything is written.
///
/// # Errors
/// It can't be made.
pub(super) fn open(log: &Log) -> Result<Option<Capture>, Fault> {
    let open = |path: &Path| {
        let sink = Sink::new(path, create_anew(path), &[NFLOG])?;
        Ok(Capture { sink, left: log.nflog_limit, is_full: false })
    };
    log.nflog.as_deref().map(open).transpose()
}

/// A capture of bounded size.
pub(super) struct Capture {
    sink: Sink,
    /// Bytes of packets that it may still take.
    left: u64,
    is_full: bool,
}

/// Who is told of packets; the end of it is that of the journal.
pub(super) struct Journal {
    entries: Option<SyncSender<Entry>>,
    lost: Arc<AtomicU64>,
    has_capture: bool,
    writer: Option<JoinHandle<()>>,
}

enum Entry {
    Warning(Fault),
    Error(Fault),
    Line(LogLine),
    Copy(Box<PacketCopy>, [Option<u32>; 2], u64),
}

impl Journal {
    /// Begins to write.
    pub(super) fn begin(capture: Option<Capture>) -> Self {
        let (sender, entries) = sync_channel(BACKLOG);
        let lost = Arc::new(AtomicU64::new(0));
        let has_capture = capture.is_some();
        let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
        let told = Stopwatch::start();
        let writer = Writer { capture, is_journal, lost: Arc::clone(&lost), known: 0, told };
        let writer = Some(thread::spawn(move || writer.write_all(&entries)));
        Self { entries: Some(sender), lost, has_capture, writer }
    }

    /// Takes something in, if there is room for it.
    pub(super) fn take(&self, logged: Logged<'_>) {
        let entry = match logged {
            Logged::Line(line) => Entry::Line(line.clone()),
            Logged::Copy { .. } if !self.has_capture => return,
            Logged::Copy { copy, indices, time } => {
                Entry::Copy(Box::new(copy.clone()), indices, time)
            }
        };
        self.put(entry);
    }

    /// Takes in how a reload went, or what else is to be said.
    pub(super) fn tell(&self, outcome: Result<Vec<Fault>, Vec<Fault>>) {
        match outcome {
            Ok(warnings) => warnings.into_iter().for_each(|one| self.put(Entry::Warning(one))),
            Err(faults) => faults.into_iter().for_each(|one| self.put(Entry::Error(one))),
        }
    }

    fn put(&self, entry: Entry) {
        let taken = self.entries.as_ref().map(|entries| entries.try_send(entry));
        if !matches!(taken, Some(Ok(()))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.entries.take());
        let (Some(writer), waited) = (self.writer.take(), Stopwatch::start()) else { return };
        // Who doesn't read must not keep the gateway from its end.
        while !writer.is_finished() && waited.elapsed() < PATIENCE {
            thread::sleep(BREATH);
        }
    }
}

/// The thread that writes.
struct Writer {
    capture: Option<Capture>,
    is_journal: bool,
    lost: Arc<AtomicU64>,
    /// So many losses were told.
    known: u64,
    told: Stopwatch,
}

impl Writer {
    fn write_all(mut self, entries: &Receiver<Entry>) {
        loop {
            let entry = match entries.try_recv() {
                Ok(entry) => entry,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match entries.recv_timeout(TELL_EVERY) {
                        Ok(entry) => entry,
                        Err(RecvTimeoutError::Disconnected) => break,
                        Err(RecvTimeoutError::Timeout) => {
                            self.tell_losses();
                            continue;
                        }
                    }
                }
            };
            match entry {
                Entry::Warning(fault) => message::warning(fault),
                Entry::Error(fault) => message::error(fault),
                Entry::Line(line) => self.line(&line),
                Entry::Copy(copy, indices, time) => self.copy(&copy, indices, time),
            }
            if self.told.elapsed() >= TELL_EVERY {
                self.tell_losses();
            }
        }
        self.tell_losses();
        if let Some(capture) = self.capture.take()
            && let Err(fault) = capture.sink.finish()
        {
            message::error(fault);
        }
    }

    /// The journal takes a line's severity from its beginning (sd-daemon(3)).
    fn line(&self, LogLine { level, text, topic }: &LogLine) {
        match (message::speaks_json(), self.is_journal) {
            (true, _) => message::record(*level, about(*topic), text),
            (false, true) => message::line(format_args!("<{level}>{text}")),
            (false, false) => message::line(text),
        }
    }

    fn copy(&mut self, copy: &PacketCopy, indices: [Option<u32>; 2], time: u64) {
        let Some(capture) = &mut self.capture else {
            // It had to be given up; copies come only if there was one.
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let frame = copied(copy, indices, time).frame();
        match capture.left.checked_sub(frame.len() as u64) {
            Some(left) if !capture.is_full => {
                capture.left = left;
                let written = capture.sink.write(0, time, &frame);
                self.give_up_after(written);
            }
            _ => {
                if !std::mem::replace(&mut capture.is_full, true) {
                    message::warning("the capture of copies is full (log.nflog-limit)");
                }
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn flush(&mut self) {
        if let Some(capture) = &mut self.capture {
            let flushed = capture.sink.flush();
            self.give_up_after(flushed);
        }
    }

    /// What can't be written once is not tried for every packet.
    fn give_up_after(&mut self, written: Result<(), Fault>) {
        if let Err(fault) = written {
            message::error(fault);
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.capture = None;
        }
    }

    fn tell_losses(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.known {
            let new = lost - self.known;
            message::warning(format_args!("{new} lines and copies of packets were lost"));
            (self.known, self.told) = (lost, Stopwatch::start());
        }
    }
}

/// What a line is about, in a word.
fn about(topic: LogTopic) -> &'static str {
    match topic {
        LogTopic::Rule => "rule",
        LogTopic::Invalid => "invalid",
        LogTopic::Table => "table",
    }
}
