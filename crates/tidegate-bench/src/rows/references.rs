//! The references as rows of their own.

use std::collections::hash_map::RandomState;

use hashbrown::DefaultHashBuilder;

use crate::reference::floor::{Floor, FloorLookup};
use crate::reference::limit::{Limit, Window};
use crate::reference::naive::Naive;
use crate::rows::RowName;
use crate::session::{Row, Session};
use crate::subject::Subject;

/// Limits, floor and hash maps.
pub fn run(session: &mut Session<'_>) {
    let (family, flows) = (session.family, session.flows);
    memory(session, RowName::LimitL1, Window::L1);
    memory(session, RowName::Limit, Window::L2);
    weighed(session, RowName::Floor, || Floor::boxed(family, flows));
    weighed(session, RowName::FloorLookup, || FloorLookup::boxed(family, flows));
    weighed(session, RowName::HashbrownFast, || {
        Naive::<DefaultHashBuilder, _, 2>::boxed(family, flows)
    });
    weighed(session, RowName::HashbrownSip, || Naive::<RandomState, _, 2>::boxed(family, flows));
}

/// A limit has no flows, and so no bytes for each.
fn memory(session: &mut Session<'_>, name: RowName, window: Window) {
    if session.wants(&[name]) {
        let mut limit = Limit::new(session.flows, window);
        session.record(name, &mut limit, None);
    }
}

fn weighed(session: &mut Session<'_>, name: RowName, build: impl FnOnce() -> Box<dyn Subject>) {
    if session.wants(&[name]) {
        let mut subject = session.weigh(build);
        let pass = session.measure(&mut *subject);
        let row = session.row(name, pass);
        session.report(Row { bytes_per_flow: session.bytes_per_flow(), ..row });
    }
}
