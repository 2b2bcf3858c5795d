//! One engine, and one thread that does everything in turns.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use tidegate_engine::Engine;
use tidegate_engine::time::Instant;

use super::office::Office;
use super::{
    BREATH, BURST, DataPlane, EXPIRY_BUDGET, End, Heed, Readiness, Signals, Way, remark, tell,
};
use crate::control::Engines;
use crate::replay::Fault;

/// Turns until a signal says to stop, or something is lost.
pub(super) fn run<P: DataPlane>(
    (engine, plane): (&mut Engine, &mut P),
    office: &mut Office,
    way: &Way,
    (signals, heed): (&mut Signals, &mut impl Heed),
) -> End {
    if let Err(problem) = way.keep_to_core(0) {
        heed(Ok(vec![remark(problem)]));
    }
    let mut alone = Alone { engine, plane, office, way, busy: None };
    loop {
        let is_due = alone.office.is_due(alone.office.clock.now());
        if is_due && alone.attend(signals, heed) {
            return End::Stopped;
        }
        let outcome = alone.turn(is_due);
        if let Some(fault) = alone.plane.lost() {
            return End::Lost(fault);
        }
        match outcome {
            Err(fault) => {
                alone.office.complain(fault, heed);
                std::thread::sleep(BREATH);
            }
            Ok(false) if !alone.office.wants_reload() && !alone.keeps_vigil() => {
                if let Err(error) = alone.wait(signals) {
                    return End::System(error);
                }
            }
            Ok(_) => {}
        }
    }
}

struct Alone<'a, P> {
    engine: &'a mut Engine,
    plane: &'a mut P,
    office: &'a mut Office,
    way: &'a Way,
    /// When the last packet came.
    busy: Option<Instant>,
}

impl<P: DataPlane> Alone<'_, P> {
    fn keeps_vigil(&self) -> bool {
        let vigil = self.way.vigil;
        let idle = |busy| self.office.clock.now().saturating_sub(busy);
        !vigil.is_zero() && self.busy.is_some_and(|busy| idle(busy) < vigil)
    }

    /// Does what signals and the operator ask for, and says what is to be said; whether it is the end.
    fn attend(&mut self, signals: &mut Signals, heed: &mut impl Heed) -> bool {
        let Self { engine, plane, office, .. } = self;
        office.service.live(office.clock.now());
        if office.attend(&mut Engines::Alone(engine), signals, heed) {
            return true;
        }
        let remarks = plane.remarks();
        if !remarks.is_empty() {
            heed(Ok(remarks.into_iter().map(remark).collect()));
        }
        false
    }

    /// Does what is due; the operator's part is left out unless that `is_due`. Whether there is more to do at once.
    ///
    /// # Errors
    /// Packets can't be read; all else that was due is done.
    fn turn(&mut self, is_due: bool) -> Result<bool, Fault> {
        let Self { engine, plane, office, way, .. } = self;
        let now = office.clock.now();
        let packets = plane.turn(engine, now, BURST);
        if packets.as_ref().is_ok_and(|packets| *packets > 0) {
            self.busy = Some(now);
        }
        tell(engine, *plane, now, &*way.log);
        office.server.gather(&mut **engine, now);
        let expired = engine.handle_timeout(now, EXPIRY_BUDGET, plane.world());
        office.server.gather(&mut **engine, now);
        let mut is_behind = false;
        if is_due {
            is_behind = office.serve(&mut Engines::Alone(engine), now);
            office.server.explain((engine, now), plane.world(), |name| plane.port(name));
        }
        let is_behind = office.is_behind(is_behind);
        Ok(packets? == BURST || expired == EXPIRY_BUDGET || is_behind)
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, signals: &Signals) -> std::io::Result<()> {
        let Self { engine, plane, office, .. } = self;
        let now = office.clock.now();
        let (due, fds) = match plane.readiness() {
            Readiness::At(at) => (Some(at), Vec::new()),
            Readiness::When(fds) => (None, fds),
            Readiness::Never => (None, Vec::new()),
        };
        let fds = fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let next = [engine.next_deadline(), due, plane.due()].into_iter().flatten().min();
        let longest = next.map_or(Duration::MAX, |next| next.saturating_sub(now));
        let ready = office.wait(signals, &fds.collect::<Vec<_>>(), longest)?;
        plane.woken(&ready);
        Ok(())
    }
}
