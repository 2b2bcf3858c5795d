//! `tidegate exporter`: a table's figures for Prometheus.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use super::count::counts;
use crate::client::{Place, Table};
use crate::exporter::page::Form;
use crate::exporter::server::{Pages, Terms, listen, serve};
use crate::flags::exporter::ExporterArgs;
use crate::message;

/// Runs the command.
pub(crate) fn run(args: &ExporterArgs) -> Result<(), Failure> {
    let place = args.place.place();
    // The address is that of our own namespace, the table may be another's.
    let server = if args.once { None } else { Some(listen(&args.listen)?) };
    place.enter()?;
    counts(&mut Table::open(&place)?)?;
    let pages = Pages::new(place, args.terms.terms());
    let Some(server) = server else {
        let form = if args.openmetrics { Form::OpenMetrics } else { Form::Prometheus };
        return Ok(io::stdout().lock().write_all(pages.page(form).as_bytes())?);
    };
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    message::note(format_args!("metrics on http://{}/metrics", server.local_addr()?));
    thread::spawn(move || serve(&server, &pages));
    signals.forever().next();
    Ok(())
}

/// Serves an engine's metrics from this process on, in threads that ask through its socket as everybody does.
///
/// # Errors
/// The address is taken, or not ours.
pub(super) fn beside(address: SocketAddr, place: Place, terms: Terms) -> Result<(), Failure> {
    let server = listen(&address.to_string())?;
    thread::spawn(move || serve(&server, &Pages::new(place, terms)));
    Ok(())
}
