//! `tidegate what-if` and `tidegate plan`: what a table would hold under other settings, and which settings hold what
//! shall come.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use tidegate_wire::netlink::conntrack::message;

use super::{Failure, list};
use crate::client::{ClientError, Flow, Place, Policies, Saved, Settings, Table};
use crate::filter::Filter;
use crate::flags::forecast::{PlanArgs, WhatIfArgs, Wish};
use crate::forecast::memory::Memory;
use crate::forecast::report::{Report, Setting, Sizes, Then};
use crate::forecast::{Findings, Question, Study, plan};
use crate::message as say;
use crate::record::segments;
use crate::render::plot::Plot;
use crate::snapshot::Subject;
use crate::timers::{PREFIX, Timers, UNTOLD};

/// Runs `what-if`.
pub(crate) fn run(args: &WhatIfArgs) -> Result<(), Failure> {
    let picture = args.plot.as_deref().map(|path| Picture::of(path).map(|kind| (path, kind)));
    let picture = picture.transpose()?;
    let place = args.place.place_or(args.filter.file());
    place.enter()?;
    let filter = args.filter.filter_on(&place)?;
    let horizon = u64::from(args.horizon);
    let moments = (0..=STEPS).map(|step| step * horizon / STEPS).collect();
    let wishes = Wishes::of(&place, &args.set)?.under_policies(&place)?;
    let study = wishes.study(&place, &filter, moments, args.growth)?;
    let mut report = wishes.report(&place, &study)?;
    report.history = history(&place, &filter, &args.set)?;
    if let Some((path, picture)) = picture {
        let at = |error| ClientError::File { path: path.to_owned(), error };
        picture.draw(&report.plot(), path).map_err(at)?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        report.write(&mut out)?;
    }
    Ok(out.flush()?)
}

/// What a plot is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    Svg,
    Png,
}

impl Picture {
    /// What the end of a file's name says.
    fn of(path: &Path) -> Result<Self, Failure> {
        let end = path.extension().unwrap_or_default().to_ascii_lowercase();
        match end.to_str() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(Failure::Usage("--plot: the file's name ends in .svg or in .png".to_owned())),
        }
    }

    fn draw(self, plot: &Plot, path: &Path) -> io::Result<()> {
        let bytes = match self {
            Self::Svg => plot.svg().into_bytes(),
            Self::Png => plot.png()?,
        };
        std::fs::write(path, bytes)
    }
}

/// Runs `plan`.
pub(crate) fn plan(args: &PlanArgs) -> Result<(), Failure> {
    let place = args.place.place();
    place.enter()?;
    let everything = Filter::default();
    let mut wishes = Wishes::of(&place, &args.set)?.under_policies(&place)?;
    if !args.keep_timeouts {
        wishes.add_advice();
    }
    let study = wishes.study(&place, &everything, vec![0], 0.0)?;
    let mut report = wishes.report(&place, &study)?;
    report.history = history(&place, &everything, &wishes.wishes)?;
    let mut out = BufWriter::new(io::stdout().lock());
    plan::write(&mut out, &report, plan::Aim { fill: args.fill, growth: args.growth })?;
    Ok(out.flush()?)
}

/// What each snapshot of a recording held, and would have held; nothing if it is none.
fn history(place: &Place, filter: &Filter, wishes: &[Wish]) -> Result<Vec<Then>, Failure> {
    let Place::File(Saved { path, .. }) = place else { return Ok(Vec::new()) };
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let at = |error| ClientError::File { path: path.clone(), error };
    let now = place.now()?;
    let mut history = Vec::new();
    for segment in segments(path).map_err(at)? {
        let place = Place::File(Saved::new(&segment, None));
        // Another segment than the last that was cut short tells nothing, and takes nothing away.
        let Ok(time) = place.now() else { continue };
        if time > now {
            break;
        }
        let wishes = Wishes::of(&place, wishes)?;
        let Ok(study) = wishes.study(&place, filter, vec![0], 0.0) else { continue };
        let Findings { before, after, .. } = study.findings();
        history.push(Then { time, before, after, max: wishes.wished("max") });
    }
    Ok(history)
}

/// A table's settings, and those that would be other.
struct Wishes {
    settings: Vec<(String, String)>,
    wishes: Vec<Wish>,
    /// Whose flows may have other timeouts.
    policies: Policies,
}

impl Wishes {
    fn of(place: &Place, wishes: &[Wish]) -> Result<Self, Failure> {
        let settings = Settings::of(place)?.all()?;
        let found = Self { settings, wishes: wishes.to_vec(), policies: Policies::default() };
        for Wish { name, .. } in wishes {
            let is_size = ["max", "buckets"].contains(&name.as_str());
            if !is_size && Timers::of(&found.settings).value(name).is_none() {
                let what = format!(
                    "--set {name}: the table has no such timeout; max and buckets can be set as well"
                );
                return Err(Failure::Usage(what));
            }
        }
        Ok(found)
    }

    /// The same where a table has the policies that it has, as far as it tells; that it doesn't is said.
    fn under_policies(mut self, place: &Place) -> Result<Self, ClientError> {
        match Policies::of(place)? {
            Some(policies) => self.policies = policies,
            None => say::note(UNTOLD),
        }
        Ok(self)
    }

    /// Timeouts that RFCs find long enough, unless others are wished for.
    fn add_advice(&mut self) {
        for (name, seconds) in plan::ADVICE {
            let is_longer = self.value(name).is_some_and(|value| value > seconds);
            if is_longer && self.wishes.iter().all(|wish| wish.name != name) {
                self.wishes.push(Wish { name: name.to_owned(), value: seconds });
            }
        }
    }

    fn value(&self, name: &str) -> Option<u64> {
        let full = format!("{PREFIX}{name}");
        let found = self.settings.iter().find(|(known, _)| *known == full)?;
        found.1.parse().ok()
    }

    fn wished(&self, name: &str) -> Option<u64> {
        let wish = self.wishes.iter().rev().find(|wish| wish.name == name);
        wish.map(|wish| wish.value).or_else(|| self.value(name))
    }

    fn study(
        &self,
        place: &Place,
        filter: &Filter,
        moments: Vec<u64>,
        growth: f64,
    ) -> Result<Study, Failure> {
        let before = Timers::of(&self.settings).under(self.policies.clone());
        let mut after = before.clone();
        self.wishes.iter().for_each(|wish| after.set(&wish.name, wish.value));
        let mut study = Study::new(Question { before, after, moments, growth });
        let now = place.now()?;
        Table::open(place)?.dump(&list::request(place, filter, message::GET), |message| {
            let flow = Flow::parse(message)?;
            if filter.accepts(&flow, now) {
                study.add(&flow, now);
            }
            Ok::<_, Failure>(())
        })?;
        Ok(study)
    }

    fn report(&self, place: &Place, study: &Study) -> Result<Report, Failure> {
        let opening = Subject { place, filter: &Filter::default() }.opening()?;
        let table = format!("{} {}", opening.table, opening.place);
        let setting = |wish: &Wish| Setting {
            name: wish.name.clone(),
            before: self.value(&wish.name),
            after: wish.value,
        };
        let sizes = [
            Sizes { max: self.value("max"), buckets: self.value("buckets") },
            Sizes { max: self.wished("max"), buckets: self.wished("buckets") },
        ];
        let settings = self.wishes.iter().map(setting).collect();
        Ok(Report::new(study, (opening.time, table), settings, sizes, Memory::of_system()))
    }
}

/// So many moments are looked at from now on.
const STEPS: u64 = 120;
