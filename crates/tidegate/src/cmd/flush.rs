//! `tidegate flush`: all flows of a table; first it is only said how many there are.
//!
//! The table empties itself in one request, so what comes while it does may or may not be among what is deleted. How
//! many there were just before and are just after is all that can honestly be said.

use tidegate_wire::Family as IpFamily;
use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;

use super::count::counts;
use super::{Failure, list};
use crate::client::{Place, Request, Table};
use crate::filter::{Filter, Test};
use crate::flags::table::FlushArgs;
use crate::message as say;

/// Runs the command.
pub(crate) fn run(args: &FlushArgs) -> Result<(), Failure> {
    let family = args.family.map(IpFamily::from);
    let place = args.place.place();
    place.enter()?;
    let mut table = Table::open(&place)?;
    let before = count(&place, &mut table, family)?;
    if !args.yes {
        say::summary(format_args!("{before} flow entries would be deleted; --yes deletes them."));
        return if before == 0 { Err(Failure::Nothing) } else { Ok(()) };
    }
    // Linux looks at the family only if the version isn't 0 (`ctnetlink_del_conntrack`).
    let family_asked =
        family.map_or(Family::default(), |family| Family { version: 1, ..Family::of(family) });
    table.ask(&Request::new(Subsystem::Conntrack, message::DELETE, family_asked))?;
    let after = count(&place, &mut table, family)?;
    say::summary(format_args!(
        "connection tracking table has been emptied: {before} flow entries were there before, {after} are now."
    ));
    Ok(())
}

fn count(place: &Place, table: &mut Table, family: Option<IpFamily>) -> Result<u64, Failure> {
    let Some(family) = family else { return Ok(counts(table)?.entries.into()) };
    let filter = Filter::new(vec![Test::Family(family)]);
    let mut count = 0;
    table.dump(&list::request(place, &filter, message::GET), |_| {
        count += 1;
        Ok::<_, Failure>(())
    })?;
    Ok(count)
}
