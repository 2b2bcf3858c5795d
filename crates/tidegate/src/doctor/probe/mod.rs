//! Looking at a table and around it. Each probe tells what it couldn't see; none changes anything, none asks a name
//! server, and all of them together are done in the time that the table's own listing takes, or two seconds.

mod arrivals;
mod cloud;
mod counters;
mod elsewhere;
mod expectations;
mod kernel_log;
mod machine;
mod namespaces;
mod owners;
mod rules;
mod second_look;
mod session;
mod sockets;

use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::conntrack::message;

use super::census::{Census, Timeouts};
use super::facts::{Facts, Room, Scene, Whose};
use crate::client::{ClientError, Flow, Place, Settings, Table};
use crate::cmd::{Failure, list};
use crate::filter::Filter;
use crate::present::time_of_day;

/// What is looked at, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// The table. Whoever asks is in its namespace already.
    pub(crate) place: Place,
    /// The time for the listing; what is left out afterwards is told.
    pub(crate) cap: Duration,
}

impl Survey {
    /// Looks at everything.
    ///
    /// # Errors
    /// The table can't be reached, or gives no figure at all.
    pub(crate) fn gather(&self) -> Result<Facts, Failure> {
        let watch = Stopwatch::start();
        let mut blind = Vec::new();
        let settings = Settings::of(&self.place)?.all().unwrap_or_default();
        let scene = self.scene();
        let reader = counters::Reader::start(&self.place)?;
        let world = elsewhere::Reader::start(scene.table);
        let ear = arrivals::listen(self.place.clone(), SPAN);
        let census = self.census(Timeouts::of(&settings), &mut blind)?;
        let expected = expectations::read(&self.place, &settings, &mut blind);
        let rules = rules::read(scene.table, &mut blind);
        let arrivals = ear.and_then(|ear| ear.join().ok()).unwrap_or_else(|| Err(String::new()));
        let arrivals = arrivals.map_err(|why| blind.push(format!("arrivals: {why}"))).ok();
        thread::sleep(SPAN.saturating_sub(watch.elapsed()));
        let (counters, counts) = reader.finish()?;
        let refreshed = second_look::refreshed(&self.place, &census.unheard);
        let spaces = namespaces::read(&scene, &mut blind);
        let mut facts = Facts {
            room: Room {
                count: counts.entries.into(),
                max: setting(&settings, "nf_conntrack_max")
                    .or(counts.max.map(u64::from))
                    .filter(|max| *max > 0),
                buckets: setting(&settings, "nf_conntrack_buckets"),
            },
            counters,
            arrivals,
            census,
            log: kernel_log::read(scene.table, &mut blind),
            memory: machine::memory(scene.table),
            elsewhere: world.finish(),
            local: machine::addresses(),
            ssh: session::read(&self.place),
            owners: Vec::new(),
            refreshed,
            scene,
            spaces,
            rules,
            expected,
            blind,
        };
        owners::name(&mut facts);
        facts.scene.took = watch.elapsed();
        Ok(facts)
    }

    fn scene(&self) -> Scene {
        let (table, options, prefix) = match &self.place {
            Place::Engine(path) => {
                (Whose::Engine, format!(" --socket {}", path.display()), String::new())
            }
            Place::Kernel(None) => (Whose::Kernel, String::new(), String::new()),
            Place::Kernel(Some(name)) => (Whose::Kernel, format!(" --netns {name}"), inside(name)),
        };
        let inode = machine::namespace();
        Scene {
            table,
            inode,
            is_first: table == Whose::Kernel && machine::is_first_namespace(inode),
            kernel: machine::kernel(),
            time: time_of_day(),
            took: Duration::ZERO,
            options,
            prefix,
        }
    }

    /// Lists the table, until it is through or the time is over.
    fn census(&self, timeouts: Timeouts, blind: &mut Vec<String>) -> Result<Census, Failure> {
        let watch = Stopwatch::start();
        let mut census = Census::new(timeouts);
        let request = list::request(&self.place, &Filter::new(Vec::new()), message::GET);
        let listed = Table::open(&self.place)?.dump(&request, |message| {
            census.add(&Flow::parse(message)?);
            if census.seen.is_multiple_of(BETWEEN_LOOKS) && watch.elapsed() > self.cap {
                return Err(Failure::Enough);
            }
            Ok(())
        });
        match listed {
            Ok(()) => {}
            Err(Failure::Enough) => census.is_partial = true,
            Err(Failure::Table(error @ ClientError::Refused(_))) => {
                blind.push(format!("flows: {error}"));
            }
            Err(other) => return Err(other),
        }
        Ok(census)
    }
}

/// How a program of the system is led into a namespace.
fn inside(name: &str) -> String {
    match name.parse::<u32>() {
        Ok(process) => format!("nsenter -t {process} -n "),
        Err(_) if name.contains('/') => format!("nsenter --net={name} "),
        Err(_) => format!("ip netns exec {name} "),
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
