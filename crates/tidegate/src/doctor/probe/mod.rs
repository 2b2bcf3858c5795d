//! Looking at a table and around it. Each probe tells what it couldn't see; none changes anything, none asks a name
//! server, and all of them together are done in the time that the table's own listing takes, or two seconds.

mod arrivals;
mod cloud;
mod counters;
mod elsewhere;
mod expectations;
mod history;
mod kernel_log;
mod machine;
mod namespaces;
mod owners;
mod rules;
mod second_look;
mod session;
mod sockets;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::conntrack::message;

use super::blind::Blind;
use super::census::Census;
use super::evidence::Evidence;
use super::facts::{Arrivals, Facts, Room, Scene, Whose};
use super::foreign::quoted;
use crate::client::{ClientError, Flow, Place, Policies, Settings, Table, kept};
use crate::cmd::{Failure, list};
use crate::filter::Filter;
use crate::redact::Redactor;
use crate::timers::{Timers, UNTOLD};

/// What is looked at, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// The table. Whoever asks is in its namespace already.
    pub(crate) place: Place,
    /// The time for the listing; what is left out afterwards is told. `None`: as long as it takes.
    pub(crate) cap: Option<Duration>,
    /// Who makes addresses unrecognisable, if that is wished for.
    pub(crate) redactor: Option<Arc<Redactor>>,
}

/// The probes that take a while and run beside the listing.
struct Watch {
    watch: Stopwatch,
    counters: counters::Reader,
    elsewhere: elsewhere::Reader,
    arrivals: Option<JoinHandle<Result<Arrivals, ClientError>>>,
}

impl Survey {
    /// Looks at everything. What is listed goes into the evidence as well, if there is any wanted.
    ///
    /// # Errors
    /// The table can't be reached, or gives no figure at all.
    pub(crate) fn gather(&self, evidence: &mut Evidence) -> Result<Facts, Failure> {
        // Of the table, and of what is around it.
        let (mut blind, mut around) = (Blind::default(), Blind::default());
        let settings = Settings::of(&self.place)?.all().unwrap_or_default();
        let scene = self.scene()?;
        let watch = self.watch(scene.table)?;
        let timers = Timers::of(&settings).under(self.policies(&mut blind));
        let (census, last_unheard) =
            self.census(Census::new(timers, scene.time), &mut blind, evidence, &watch.watch)?;
        let rules = rules::read(scene.table, &mut around);
        let expected = expectations::read(&self.place, &settings, &mut around);
        let arrivals = watch.arrivals.and_then(|ear| ear.join().ok());
        let arrivals =
            arrivals.and_then(|heard| heard.map_err(|why| around.refused("new flows", &why)).ok());
        if scene.table != Whose::File {
            let now = watch.watch.elapsed();
            let apart = second_look::wait(last_unheard, now);
            thread::sleep(SPAN.saturating_sub(now).max(apart));
        }
        let (counters, counts) = watch.counters.finish()?;
        let max = setting(&settings, "nf_conntrack_max").or(counts.max.map(u64::from));
        let mut facts = Facts {
            room: Room {
                count: counts.entries.into(),
                max: max.filter(|max| *max > 0),
                buckets: setting(&settings, "nf_conntrack_buckets"),
            },
            counters,
            arrivals,
            refreshed: second_look::refreshed(&self.place, &census.unheard),
            census,
            log: kernel_log::read(scene.table, &mut around),
            memory: machine::memory(scene.table),
            elsewhere: watch.elsewhere.finish(),
            maps: machine::maps(scene.table),
            local: machine::addresses(scene.table),
            log_invalid: setting(&settings, "nf_conntrack_log_invalid"),
            ssh: session::read(&self.place),
            owners: Vec::new(),
            spaces: namespaces::read(&scene, &mut around),
            past: history::read(&self.place, &scene),
            scene,
            rules,
            expected,
            blind,
        };
        match &self.redactor {
            None => {
                facts.blind.append(around);
                owners::name(&mut facts);
            }
            Some(redactor) => facts.hide(redactor),
        }
        facts.scene.took = watch.watch.elapsed();
        Ok(facts)
    }

    /// Whose flows may have other timeouts than the settings say: how long those have been idle isn't known.
    fn policies(&self, blind: &mut Blind) -> Policies {
        match Policies::of(&self.place) {
            Ok(Some(policies)) => return policies,
            Ok(None) => blind.note(UNTOLD),
            Err(error) => blind.refused("timeout policies", &error),
        }
        Policies::default()
    }

    fn watch(&self, table: Whose) -> Result<Watch, Failure> {
        let is_alive = table != Whose::File;
        Ok(Watch {
            watch: Stopwatch::start(),
            counters: counters::Reader::start(&self.place)?,
            elsewhere: elsewhere::Reader::start(table),
            arrivals: is_alive.then(|| arrivals::listen(self.place.clone(), SPAN)).flatten(),
        })
    }

    fn scene(&self) -> Result<Scene, ClientError> {
        let time = self.place.now()?;
        if let Place::File(saved) = &self.place {
            let kernel = saved.opening()?.release;
            return Ok(Scene {
                table: Whose::File,
                is_first: true,
                kernel,
                time,
                ..Scene::default()
            });
        }
        let (table, options, prefix) = match &self.place {
            Place::Engine(path) => (
                Whose::Engine,
                format!(" --socket {}", quoted(&path.display().to_string())),
                String::new(),
            ),
            Place::Kernel(Some(name)) => {
                (Whose::Kernel, format!(" --netns {}", quoted(name)), inside(name))
            }
            Place::Kernel(None) | Place::File(_) => (Whose::Kernel, String::new(), String::new()),
        };
        let inode = machine::namespace();
        let is_first = table == Whose::Kernel && machine::is_first_namespace(inode);
        let (kernel, took) = (machine::kernel(), Duration::ZERO);
        Ok(Scene { table, inode, is_first, kernel, time, took, options, prefix })
    }

    /// Lists the table, until it is through or the time is over. Tells when the last of those was seen that are to be
    /// looked at again.
    fn census(
        &self,
        mut census: Census,
        blind: &mut Blind,
        evidence: &mut Evidence,
        watch: &Stopwatch,
    ) -> Result<(Census, Option<Duration>), Failure> {
        let (start, mut last_unheard) = (watch.elapsed(), None);
        let request = list::request(&self.place, &Filter::new(Vec::new()), message::GET);
        let listed = Table::open(&self.place)?.dump_ahead(&request, |original| {
            let other = self.redactor.as_ref().map(|redactor| redactor.message(original));
            let other = other.as_deref().and_then(kept);
            let message = other.as_ref().unwrap_or(original);
            let unheard = census.unheard.len();
            census.add(&Flow::outline(message)?);
            if let Some(newest) = census.unheard.get_mut(unheard) {
                // The table knows it by its own addresses.
                [newest.tuple, _] = Flow::outline(original)?.tuples;
                last_unheard = Some(watch.elapsed());
            }
            evidence.put(message);
            let is_late = || self.cap.is_some_and(|cap| watch.elapsed() - start > cap);
            if census.seen.is_multiple_of(BETWEEN_LOOKS) && is_late() {
                return Err(Failure::Enough);
            }
            Ok(())
        });
        match listed {
            Ok(()) => {}
            Err(Failure::Enough) => census.is_partial = true,
            Err(Failure::Table(error @ ClientError::Refused(_))) => {
                census.is_partial = true;
                blind.refused("flows", &error);
            }
            Err(other) => return Err(other),
        }
        Ok((census, last_unheard))
    }
}

/// How a program of the system is led into a namespace.
fn inside(name: &str) -> String {
    match name.parse::<u32>() {
        Ok(process) => format!("nsenter -t {process} -n "),
        Err(_) if name.contains('/') => format!("nsenter --net={} ", quoted(name)),
        Err(_) => format!("ip netns exec {} ", quoted(name)),
    }
}

/// A setting's number.
fn setting(settings: &[(String, String)], name: &str) -> Option<u64> {
    let is_it = |(known, _): &&(String, String)| known.strip_prefix("net.netfilter.") == Some(name);
    settings.iter().find(is_it)?.1.parse().ok()
}

/// Between the two looks at counters, and for those who listen, at least.
const SPAN: Duration = Duration::from_millis(1500);
/// Flows between two looks at the clock.
const BETWEEN_LOOKS: u64 = 1024;
