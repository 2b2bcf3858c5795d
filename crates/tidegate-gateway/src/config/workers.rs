//! Workers: how many, on which processors, and by which queues of interfaces.

use rustix::thread::{CpuSet, sched_getaffinity};
use serde::Deserialize;
use toml::Spanned;

use super::{Plane, Reader, WrittenInterface};

/// Which processors workers keep to.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Pin {
    /// Each to one of those that there are; or to none.
    Each(bool),
    /// To these.
    To(Vec<usize>),
}

impl Default for Pin {
    fn default() -> Self {
        Self::Each(false)
    }
}

impl Pin {
    /// The processors, in the order of the workers.
    pub(super) fn cores(self) -> Vec<usize> {
        match self {
            Self::Each(false) => Vec::new(),
            Self::Each(true) => allowed_cores(),
            Self::To(cores) => cores,
        }
    }
}

impl Reader<'_> {
    /// How many there are.
    pub(super) fn workers(&mut self, written: &Spanned<u16>) -> u16 {
        let workers = self.positive("workers", written);
        if workers > MOST_WORKERS {
            let problem = format!("more than {MOST_WORKERS} are not served");
            self.refuse(written.span().start, "workers", &problem);
        }
        workers
    }

    /// Each worker serves a queue of every interface.
    pub(super) fn check_queues(
        &mut self,
        interfaces: &[WrittenInterface],
        usual: Plane,
        workers: u16,
    ) {
        for interface in interfaces {
            let queues = interface.queues.as_ref();
            if let Some(queues) = queues.filter(|queues| *queues.get_ref() != workers) {
                let problem = format!("each worker serves one: as many as `workers', {workers}");
                self.refuse(queues.span().start, "interface.queues", &problem);
            }
            if workers > 1 && interface.plane.unwrap_or(usual) == Plane::Pcap {
                let at = interface.name.span().start;
                self.refuse(at, "interface.plane", "a capture is served by one worker only");
            }
        }
    }
}

/// The processors that this process may run on.
fn allowed_cores() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
        Err(_) => Vec::new(),
    }
}

/// As many packet sockets share an interface (`PACKET_FANOUT_MAX`).
const MOST_WORKERS: u16 = 256;
