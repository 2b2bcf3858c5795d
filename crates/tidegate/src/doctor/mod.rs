//! `tidegate doctor`: what is wrong with a table, who does it, what to do about it, what not, and what happens then.
//!
//! ```text
//! probe::Survey --gather--> Facts --checks--> Report --page--> 30 lines
//!    one listing, two          (figures,       (findings,        or JSON
//!    looks at counters          no opinion)     steps)
//! ```
//!
//! * [`probe`] looks, each probe at one thing, and tells what it couldn't see;
//! * [`census`] is who is in the table, in bounded memory;
//! * [`checks`] judge: figures in, finding out, one file each;
//! * [`advice`], [`forecast`]: lines to paste, what they touch, what they bring.
//!
//! Nothing is changed, no name is looked up, no packet is sent.

mod advice;
mod blind;
mod census;
mod checks;
mod evidence;
mod facts;
mod forecast;
mod foreign;
mod page;
mod probe;
mod report;
mod suspects;
#[cfg(test)]
mod tests;

use std::thread;

pub(crate) use self::evidence::Evidence;
pub(crate) use self::page::page;
pub(crate) use self::probe::Survey;
pub(crate) use self::report::{Report, Status};
use crate::client::Place;
use crate::cmd::Failure;

/// Looks at a table and judges. If another namespace is what is full, that is looked at as well. Evidence is kept if
/// something is wrong.
///
/// # Errors
/// The table can't be reached.
pub(crate) fn examine(survey: &Survey, mut evidence: Evidence) -> Result<Report, Failure> {
    let facts = survey.gather(&mut evidence)?;
    let mut report = Report::new(&facts);
    let is_elsewhere = report.findings.first().is_some_and(|finding| finding.check == "namespace");
    let fullest = facts.spaces.iter().max_by_key(|space| space.count).filter(|_| is_elsewhere);
    if let Some(inner) = fullest.and_then(|space| examine_space(&space.place, survey)) {
        report.adopt(inner);
    }
    // Of a file the evidence is there already: who asks for another wants to show it.
    let is_wanted = report.status != Status::Ok || matches!(survey.place, Place::File(_));
    match evidence.finish(is_wanted, survey.place.now()?) {
        Some(Ok(path)) => report.saved = Some(path.display().to_string()),
        Some(Err(why)) => report.blind.push(format!("evidence: {why}")),
        None => {}
    }
    Ok(report)
}

/// Looks into another namespace, on a thread that stays there.
fn examine_space(name: &str, survey: &Survey) -> Option<Report> {
    let there = Survey { place: Place::Kernel(Some(name.to_owned())), ..survey.clone() };
    let look = move || {
        there.place.enter().ok()?;
        Some(Report::new(&there.gather(&mut Evidence::None).ok()?))
    };
    thread::spawn(look).join().ok()?
}
