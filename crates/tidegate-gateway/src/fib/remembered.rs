//! Answers that were given a moment ago: most packets go where the one before them went.
//!
//! A place for each answer, by the question; whoever comes to it last has it. All are forgotten as soon as anything in
//! the world may have changed.

use std::cell::RefCell;
use std::net::IpAddr;

use tidegate_engine::fib::{PortId, Route, RouteQuery};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    answers: RefCell<Vec<Option<(Question, Route)>>>,
}

/// What was asked.
type Question = (IpAddr, IpAddr, Option<PortId>, u32);

/// A power of two.
const PLACES: usize = 4096;

impl Default for Remembered {
    fn default() -> Self {
        Self { answers: RefCell::new(vec![None; PLACES]) }
    }
}

impl Remembered {
    /// The answer to a question, which is found out if it isn't known.
    pub(super) fn route(&self, query: &RouteQuery, find_out: impl FnOnce() -> Route) -> Route {
        let question = (query.src, query.dst, query.in_port, query.mark);
        let place = super::number_of(query.src, query.dst) as usize % PLACES;
        if let Some((known, route)) = self.answers.borrow()[place]
            && known == question
        {
            return route;
        }
        let route = find_out();
        self.answers.borrow_mut()[place] = Some((question, route));
        route
    }

    /// Something may have changed.
    pub(super) fn forget(&mut self) {
        self.answers.get_mut().fill(None);
    }
}
