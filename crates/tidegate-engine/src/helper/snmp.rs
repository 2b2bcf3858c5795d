//! SNMP.
use super::{Hearing, Outcome};
pub(super) fn hear(_: &mut Hearing<'_, '_>) -> Outcome { Ok(()) }
