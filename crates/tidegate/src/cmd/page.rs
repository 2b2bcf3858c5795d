//! `tidegate page`: a table in a browser.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use crate::client::{Place, Table};
use crate::flags::lab::PageArgs;
use crate::message;
use crate::page::{self, Board};

/// Runs the command.
pub(crate) fn run(args: &PageArgs) -> Result<(), Failure> {
    let at = |error| Failure::System(format!("no page at {}: {error}", args.listen));
    // Before the table's network is entered: the page is for those who are in ours.
    let listener = TcpListener::bind(args.listen).map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    let place = args.place.place();
    place.enter()?;
    Table::open(&place)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    message::note(format_args!("http://{address}/ until a signal comes"));
    let board = &Board::new(title(&place), place, None);
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        // Threads are where their maker is.
        scope.spawn(|| board.watch(stop));
        scope.spawn(|| page::serve(listener, board, stop));
        while signals.pending().next().is_none() {
            thread::sleep(LOOK);
        }
        stop.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn title(place: &Place) -> String {
    match place {
        Place::Kernel(None) => "the kernel's table".to_owned(),
        Place::Kernel(Some(name)) => format!("the kernel's table in {name}"),
        Place::Engine(path) => format!("engine at {}", path.display()),
        Place::File(saved) => saved.path.display().to_string(),
    }
}

/// So often it is looked for signals.
const LOOK: Duration = Duration::from_millis(50);
