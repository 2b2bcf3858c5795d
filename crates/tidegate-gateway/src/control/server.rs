//! All clients, and the events that they listen to.

use std::collections::BTreeMap;
use std::ops::Bound;

use tidegate_engine::Engine;
use tidegate_engine::fib::{Fib, PortId};
use tidegate_engine::time::Instant;

use super::engines::Engines;
use super::errno::Errno;
use super::job::Question;
use super::news::News;
use super::session::{Access, Hangup, Session};

/// Names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(u64);

/// The server; see the module's documentation.
#[derive(Debug)]
pub struct Server {
    sessions: BTreeMap<SessionId, Session>,
    news: News,
    /// The number of the next client.
    next: u64,
    /// Whose turn it was last.
    served: SessionId,
}

impl Server {
    /// A server without clients, which keeps `backlog` events for listeners who are behind.
    #[must_use]
    pub fn new(backlog: usize) -> Self {
        Self { sessions: BTreeMap::new(), news: News::new(backlog), next: 0, served: SessionId(0) }
    }

    /// A client has come, who may do this.
    pub fn open(&mut self, access: Access) -> SessionId {
        let id = SessionId(self.next);
        self.next += 1;
        self.sessions.insert(id, Session::new(id.0, access));
        id
    }

    /// A client has gone, and what was going on for it ends.
    pub fn close(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// How many clients there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether a client's next datagram may be read: what it asked for before has been answered, and it reads the
    /// answers.
    #[must_use]
    pub fn is_ready(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(Session::is_ready)
    }

    /// Does what a client's datagram asks for, or begins with it.
    ///
    /// # Errors
    /// It isn't netlink, or ends in the middle of a message; what came before has been done. The client should be
    /// closed when it has been sent what it is still to be sent.
    pub fn receive<'e>(
        &mut self,
        engines: impl Into<Engines<'e>>,
        now: Instant,
        id: SessionId,
        datagram: &[u8],
    ) -> Result<(), Hangup> {
        let Some(session) = self.sessions.get_mut(&id) else { return Err(Hangup) };
        let engines = &mut engines.into();
        self.news.gather_all(engines, now);
        session.receive((engines, &mut self.news), now, datagram)
    }

    /// Takes over the events that packets and time have brought about. Call it at least as often as the engine's queue
    /// of events can fill up.
    pub fn gather<'e>(&mut self, engines: impl Into<Engines<'e>>, now: Instant) {
        self.news.gather_all(&mut engines.into(), now);
    }

    /// Goes on with a listing or a flush, by one piece, which takes less than a millisecond: that of the client whose
    /// turn it is. Whether there is more to do at once.
    pub fn work<'e>(&mut self, engines: impl Into<Engines<'e>>, now: Instant) -> bool {
        let engines = &mut engines.into();
        if let Engines::Alone(_) = engines {
            self.news.gather_all(engines, now);
        }
        let Some(id) = self.whose_turn() else { return false };
        self.served = id;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.work(engines, &mut self.news, now);
        }
        self.has_work()
    }

    /// Whether a listing or a flush can go on at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.whose_turn().is_some()
    }

    /// The next client for whom something can be done, behind the one who was served last.
    fn whose_turn(&self) -> Option<SessionId> {
        let behind = (Bound::Excluded(self.served), Bound::Unbounded);
        let all = self.sessions.range(behind).chain(self.sessions.range(..=self.served));
        all.filter(|(_, session)| session.can_work()).map(|(id, _)| *id).next()
    }

    /// Says what would become of packets, for those who have asked: one for each client. `port_of` knows ports by
    /// their names, and that by which packets usually come.
    pub fn explain(
        &mut self,
        (engine, now): (&Engine, Instant),
        fib: &impl Fib,
        port_of: impl Fn(Option<&str>) -> Option<PortId>,
    ) {
        self.answer(|question| {
            let port = port_of(question.port.as_deref()).ok_or(Errno::NO_DEVICE)?;
            Ok(question.answer((engine, now), port, fib))
        });
    }

    /// Answers those who want to know what would become of packets: one question for each client.
    pub fn answer(&mut self, mut answer: impl FnMut(&Question) -> Result<String, Errno>) {
        self.sessions.values_mut().for_each(|session| session.explain(&mut answer));
    }

    /// Whether somebody listens to events.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        self.sessions.values().any(|session| session.listening.is_some())
    }

    /// Whether somebody wants the files to be read again.
    #[must_use]
    pub fn wants_reload(&self) -> bool {
        self.sessions.values().any(Session::wants_reload)
    }

    /// Tells those who wanted it how that went: what there is to say, and whether it was done.
    pub fn reloaded(&mut self, report: &str, is_done: bool) {
        let outcome = if is_done { Ok(()) } else { Err(Errno::INVALID) };
        self.sessions.values_mut().for_each(|session| session.reloaded(report, outcome));
    }

    /// The next datagram for a client. It stays until [`Server::sent`] says that it is on its way.
    pub fn next_for(&mut self, id: SessionId) -> Option<&[u8]> {
        let session = self.sessions.get_mut(&id)?;
        session.listen(&self.news);
        session.outbox.front()
    }

    /// Whether a client may have something to be sent.
    #[must_use]
    pub fn has_for(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            let is_behind = |next: u64| next < self.news.next();
            let listening = session.listening.as_ref();
            session.outbox.front().is_some() || listening.is_some_and(|one| is_behind(one.next))
        })
    }

    /// The datagram that [`Server::next_for`] named has been sent.
    pub fn sent(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.outbox.pop();
        }
    }
}
