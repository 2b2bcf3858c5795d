//! A daemon whose rules come slowly.

use std::fs::{File, remove_file, rename, write};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Signal, getpid, kill_process};
use tidegate_engine::Engine;
use tidegate_engine::fib::PortId;

use super::super::{Daemon, DataPlane, NoPackets, Readiness, Signals};
use super::*;
use crate::control::socket::{Endpoint, Policy};
use crate::dataplane::Mail;

/// A plane without packets that tells by which rules each turn went.
struct Telling {
    plane: NoPackets,
    told: Sender<bool>,
    next: Instant,
    is_over: Arc<AtomicBool>,
}

impl DataPlane for Telling {
    type World = <NoPackets as DataPlane>::World;

    fn world(&self) -> &Self::World {
        self.plane.world()
    }

    fn port(&self, name: Option<&str>) -> Option<PortId> {
        self.plane.port(name)
    }

    fn join(&mut self, mail: Mail) {
        self.plane.join(mail);
    }

    fn turn(&mut self, engine: &mut Engine, now: Instant, most: usize) -> Result<usize, Fault> {
        let rules = engine.rules(Family::V4, false).expect("there is a file");
        self.told.send(rules.contains(NEW)).expect("somebody hears it");
        self.next = now + Duration::from_millis(1);
        self.plane.turn(engine, now, most)
    }

    fn lost(&mut self) -> Option<Fault> {
        let is_over = self.is_over.load(Ordering::Relaxed);
        is_over.then(|| Fault::of("test", Cause::NoPackets))
    }

    fn readiness(&self) -> Readiness<'_> {
        Readiness::At(self.next)
    }
}

const OLD: &str = "*filter\n-A FORWARD -j DROP\nCOMMIT\n";
const NEW: &str = "-A FORWARD -j ACCEPT";

/// What a turn tells, which must come.
fn hear(told: &Receiver<bool>) -> bool {
    told.recv_timeout(Duration::from_secs(20)).expect("turns go on")
}

/// Turns go on while the file is open and not at its end, and all workers go by its rules at the same moment.
fn reload_slowly(workers: usize) {
    let file = |name: &str| {
        let name = format!("tidegate-reading-{workers}-{}-{name}", std::process::id());
        std::env::temp_dir().join(name)
    };
    let [rules, pipe, socket] = ["rules", "pipe", "socket"].map(file);
    write(&rules, OLD).expect("a file");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let (told, heard) = channel();
    let (reloaded, reloads) = channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&is_over);
    let mut signals = Signals::take_over().expect("signals");
    let inputs = Inputs { rules4: Some(rules.clone()), ..Inputs::default() };
    let run = thread::spawn(move || {
        let planes = (0..workers).map(|_| {
            let (told, is_over) = (told.clone(), Arc::clone(&is_over));
            Telling { plane: NoPackets::default(), told, next: Instant::ZERO, is_over }
        });
        let endpoint = Endpoint::bind(&socket, Policy::default()).expect("a socket");
        let daemon = Daemon::new(inputs, (endpoint, planes.collect()), 7, 16);
        let (mut daemon, _) = daemon.expect("rules");
        drop(told);
        daemon.run(&mut signals, |outcome| reloaded.send(outcome).expect("somebody hears it"));
    });
    assert!(!hear(&heard), "the rules of the beginning");
    rename(&pipe, &rules).expect("the pipe in its place");
    kill_process(getpid(), Signal::HUP).expect("it is ours");
    let mut slow = writer(&rules);
    while heard.try_recv().is_ok() {}
    assert!((0..100).all(|_| !hear(&heard)), "nothing has been read");
    write!(slow, "*filter\n{NEW}\nCOMMIT\n").expect("somebody reads it");
    assert!((0..100).all(|_| !hear(&heard)), "there may be more to read");
    drop(slow);
    assert!(reloads.recv_timeout(Duration::from_secs(20)).expect("it is done").is_ok());
    while !hear(&heard) {}
    assert!((0..100).all(|_| hear(&heard)), "whoever's turn it is");
    end.store(true, Ordering::Relaxed);
    while heard.recv().is_ok() {}
    run.join().expect("it has ended");
    remove_file(rules).expect("it is still there");
}

/// Opens a pipe when somebody reads it.
fn writer(pipe: &Path) -> File {
    for _ in 0..1000 {
        // Nobody can open it so before somebody reads.
        let open = rustix::fs::open(pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
        if let Ok(file) = open {
            rustix::fs::fcntl_setfl(&file, OFlags::empty()).expect("a pipe");
            return file.into();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody reads the rules");
}

/// One after the other: a signal is the whole process's. Others don't mind this one.
#[test]
fn packets_go_on_while_rules_are_read() {
    [1, 2, 3].into_iter().for_each(reload_slowly);
}
