//! What a worker tells another one: which tuples it has flows of that are at home there, and which flows it expects.

use crate::expect::Mask;
use crate::tuple::Tuple;

/// One message. Those of one worker must be heard in the order in which it said them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub(crate) Word);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The sender has a flow with a tuple that is at home with the receiver.
    Hosts(Tuple, u16),
    /// That flow is over.
    Lost(Tuple, u16),
    /// The sender expects a flow.
    Expects(Wanted),
    /// It doesn't any more.
    Renounces(Wanted),
}

/// A flow that is expected, as far as others must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) tuple: Tuple,
    pub(crate) mask: Mask,
    /// The zone's number.
    pub(crate) zone: u16,
    /// Its number among the sender's.
    pub(crate) number: u64,
}
