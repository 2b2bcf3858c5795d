//! Writing a table's history down.
//!
//! Two threads: one takes a snapshot now and then, the other writes events to the segment of the last one. While a
//! snapshot is taken events go to the old segment and are kept for the new one, whose snapshot may be older or newer than
//! each of them; applied to it they give the same table.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tidegate_gateway::snapshot::{Gap, Opening, Writer};
use tidegate_wire::netlink::Message;
use tidegate_wire::netlink::conntrack::group;

use super::{prune, remove_unfinished, segment_name};
use crate::client::{ClientError, Heard, Place, Table, keep, kept};
use crate::cmd::Failure;
use crate::filter::Filter;
use crate::present::time_of_day;
use crate::redact::Redactor;
use crate::snapshot::{PRIVATE, Subject, create_anew};

/// What is recorded, and where.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Which table.
    pub(crate) place: Place,
    /// Where segments go.
    pub(crate) dir: PathBuf,
    /// The time between two snapshots.
    pub(crate) every: Duration,
    /// Bytes that all segments may have.
    pub(crate) keep: u64,
    /// Whether events are recorded.
    pub(crate) events: bool,
    /// Who makes addresses unrecognisable.
    pub(crate) redactor: Option<Arc<Redactor>>,
}

impl Recorder {
    /// Records until `stop`.
    ///
    /// # Errors
    /// The table gives no answer, or nothing can be written.
    pub(crate) fn run(&self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        fs::create_dir_all(&self.dir).map_err(|error| at(&self.dir, error))?;
        let _lock = self.lock()?;
        remove_unfinished(&self.dir).map_err(|error| at(&self.dir, error))?;
        let listens_since = time_of_day();
        let tail = Arc::new(Mutex::new(Tail::new(self.redactor.clone())));
        let listener = self.events.then(|| self.listen(&tail, stop)).transpose()?;
        let done = self.take_snapshots(&tail, stop, listens_since);
        stop.store(true, Ordering::Relaxed);
        let heard = listener.map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())));
        let flushed = lock(&tail).flush(time_of_day());
        // Whatever else can't be written is the segment that events go to.
        done.and(heard).and(flushed).map_err(|failure| named(&self.dir, failure))
    }

    /// Two recorders would take each other's segments away.
    fn lock(&self) -> Result<File, Failure> {
        let path = self.dir.join("lock");
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(PRIVATE);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(&path).map_err(|error| at(&path, error))?;
        let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&file, operation).map_err(|_| {
            Failure::System(format!("{}: somebody else records here", self.dir.display()))
        })?;
        Ok(file)
    }

    fn listen(
        &self,
        tail: &Arc<Mutex<Tail>>,
        stop: &Arc<AtomicBool>,
    ) -> Result<thread::JoinHandle<Result<(), Failure>>, Failure> {
        let mask = [group::NEW, group::UPDATE, group::DESTROY].map(|group| 1 << (group - 1));
        let mask = mask.into_iter().sum();
        let mut table = Table::subscribe(&self.place, mask, None, |_| {})?;
        let (tail, stop) = (Arc::clone(tail), Arc::clone(stop));
        Ok(thread::spawn(move || {
            let mut done = Ok(());
            while done.is_ok() && !stop.load(Ordering::Relaxed) {
                // What comes in one datagram came at one time.
                let mut came = None;
                done = table.listen(|heard| {
                    let (tail, now) = came.get_or_insert_with(|| (lock(&tail), time_of_day()));
                    tail.hear(&heard, *now)
                });
                drop(came);
                done = done.and_then(|()| lock(&tail).tick(time_of_day()));
            }
            // Whoever takes snapshots shall not go on alone.
            stop.store(true, Ordering::Relaxed);
            done
        }))
    }

    fn take_snapshots(
        &self,
        tail: &Arc<Mutex<Tail>>,
        stop: &Arc<AtomicBool>,
        listens_since: u64,
    ) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            let began = time_of_day();
            let prune = || prune(&self.dir, self.keep).map_err(|error| at(&self.dir, error));
            // A disk that is full has room again, perhaps.
            prune()?;
            self.begin_segment(tail, listens_since)?;
            prune()?;
            let end = began.saturating_add(self.every.as_nanos() as u64);
            let is_due = || {
                let now = time_of_day();
                now >= end || lock(tail).wants_snapshot(now.saturating_sub(began))
            };
            while !stop.load(Ordering::Relaxed) && !is_due() {
                thread::sleep(TICK);
            }
        }
        Ok(())
    }

    fn begin_segment(&self, tail: &Mutex<Tail>, listens_since: u64) -> Result<(), Failure> {
        let everything = Filter::default();
        let subject = Subject { place: &self.place, filter: &everything };
        let mut opening = subject.opening()?;
        opening.listens_since = self.events.then_some(listens_since);
        if self.redactor.is_some() {
            crate::redact::redact_opening(&mut opening);
        }
        let path = self.dir.join(segment_name(opening.time));
        let part = path.with_extension("part");
        let written = self.write_snapshot(&subject, &opening, &part, tail);
        let writer = written.and_then(|writer| {
            fs::rename(&part, &path)?;
            Ok(writer)
        });
        let writer = writer.map_err(|failure| {
            // It is of no use; that it can't be removed is the lesser evil.
            let _ = fs::remove_file(&part);
            named(&part, failure)
        })?;
        lock(tail).go_on(writer, time_of_day()).map_err(|failure| named(&path, failure))
    }

    fn write_snapshot(
        &self,
        subject: &Subject<'_>,
        opening: &Opening,
        part: &Path,
        tail: &Mutex<Tail>,
    ) -> Result<Writer<BufWriter<File>>, Failure> {
        let mut writer = Writer::begin(BufWriter::new(create_anew(part)?), opening)?;
        lock(tail).keep_for_next();
        subject.write_as(&mut writer, self.redactor.as_deref())?;
        // The snapshot has to be on the disk before it has a name.
        writer.flush()?;
        File::open(part)?.sync_all()?;
        Ok(writer)
    }
}

/// The segment that events go to.
struct Tail {
    writer: Option<Writer<BufWriter<File>>>,
    redactor: Option<Arc<Redactor>>,
    /// Events for the segment that is being made.
    kept: Option<Vec<Event>>,
    kept_bytes: usize,
    /// When something was heard or it was known that nothing was.
    heard: u64,
    flushed: u64,
    /// Whether something happened since the last time.
    has_events: bool,
    /// Whether something was missed since the last snapshot began.
    is_lossy: bool,
    begun: u64,
}

/// What is kept of an event.
enum Event {
    Message(u64, Vec<u8>),
    Gap(Gap),
}

impl Tail {
    fn new(redactor: Option<Arc<Redactor>>) -> Self {
        let now = time_of_day();
        Self {
            writer: None,
            redactor,
            kept: None,
            kept_bytes: 0,
            heard: now,
            flushed: now,
            has_events: false,
            is_lossy: false,
            begun: 0,
        }
    }

    fn hear(&mut self, heard: &Heard<'_>, now: u64) -> Result<(), Failure> {
        match heard {
            Heard::Message(message, _) => self.message(message, now)?,
            Heard::Gap(_) => {
                let gap = Gap { from: self.heard, to: now };
                self.is_lossy = true;
                self.put(Event::Gap(gap))?;
            }
        }
        self.heard = now;
        Ok(())
    }

    fn message(&mut self, message: &Message<'_>, now: u64) -> Result<(), Failure> {
        let bytes = match &self.redactor {
            Some(redactor) => redactor.message(message),
            None => keep(message),
        };
        self.has_events = true;
        self.put(Event::Message(now, bytes))
    }

    fn put(&mut self, event: Event) -> Result<(), Failure> {
        if let Some(writer) = &mut self.writer {
            event.write(writer)?;
        }
        let Some(all) = &mut self.kept else { return Ok(()) };
        self.kept_bytes += event.len();
        if self.kept_bytes <= MOST_KEPT {
            all.push(event);
        } else if let Some(Event::Gap(gap)) = all.last_mut() {
            gap.to = time_of_day();
        } else {
            all.push(Event::Gap(Gap { from: self.heard, to: time_of_day() }));
        }
        Ok(())
    }

    /// Writes what waits, once a second; or that somebody listens and heard nothing.
    fn tick(&mut self, now: u64) -> Result<(), Failure> {
        if now.saturating_sub(self.flushed) < SECOND {
            return Ok(());
        }
        self.heard = now;
        self.flush(now)
    }

    fn flush(&mut self, now: u64) -> Result<(), Failure> {
        self.flushed = now;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if !std::mem::take(&mut self.has_events) {
            writer.gap(&Gap { from: now, to: now })?;
        }
        Ok(writer.flush()?)
    }

    fn keep_for_next(&mut self) {
        self.kept = Some(Vec::new());
        self.is_lossy = false;
        self.kept_bytes = 0;
    }

    /// From now on events go to another segment, first those that were kept for it.
    fn go_on(&mut self, mut writer: Writer<BufWriter<File>>, now: u64) -> Result<(), Failure> {
        self.flush(now)?;
        self.begun = writer.written();
        for event in self.kept.take().unwrap_or_default() {
            event.write(&mut writer)?;
        }
        self.writer = Some(writer);
        self.flush(now)
    }

    /// Whether a snapshot is wanted before its time: there are many events, or some are missing.
    fn wants_snapshot(&self, passed: u64) -> bool {
        let is_long =
            self.writer.as_ref().is_some_and(|writer| writer.written() - self.begun > LONG);
        is_long || (self.is_lossy && passed >= SOON)
    }
}

impl Event {
    fn len(&self) -> usize {
        match self {
            Self::Message(_, bytes) => bytes.len(),
            Self::Gap(_) => 0,
        }
    }

    fn write(&self, writer: &mut Writer<BufWriter<File>>) -> io::Result<()> {
        match self {
            Self::Message(time, bytes) => match kept(bytes) {
                Some(message) => writer.event(*time, &message),
                None => Ok(()),
            },
            Self::Gap(gap) => writer.gap(gap),
        }
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What can't be written, with its path.
pub(super) fn named(path: &Path, failure: Failure) -> Failure {
    match failure {
        Failure::Output(error) => at(path, error),
        failure => failure,
    }
}

fn at(path: &Path, error: io::Error) -> Failure {
    Failure::Table(ClientError::File { path: path.to_owned(), error })
}

const SECOND: u64 = 1_000_000_000;
/// So long after the last snapshot the next may follow if events were missed.
const SOON: u64 = 10 * SECOND;
const TICK: Duration = Duration::from_millis(100);
/// So many bytes of events are kept while a snapshot is taken.
const MOST_KEPT: usize = 64 << 20;
/// So many bytes of events are enough for a segment.
const LONG: u64 = 64 << 20;
