//! Explaining a packet, and then having it come: the same outcome, the same steps, the same bytes; and nothing of the
//! engine has changed in between. The random traffic of the express path's test is compared in this way, and the
//! helpers' conversations; here is what they don't have.

use super::*;
use crate::fib::Fib;

/// Everything that can be seen of an engine without changing it.
fn seen(engine: &Engine) -> String {
    let rules = Family::ALL.map(|family| engine.rules(family, true));
    let sets = engine.sets();
    let flows: Vec<_> = engine.flows().collect();
    let more: Vec<_> =
        flows.iter().map(|(id, _)| (engine.table.care(*id), engine.children_of(*id))).collect();
    let expected: Vec<_> = engine.expectations().collect();
    let waiting = (&engine.events, &engine.outputs, &engine.log);
    let (rng, stats) = (&engine.rng, engine.stats());
    let due = engine.next_deadline();
    alloc::format!(
        "{flows:?}{more:?}{expected:?}{rules:?}{sets:?}{waiting:?}{rng:?}{stats:?}{due:?}"
    )
}

/// Explains the packet, then has it come.
pub(super) fn rehearsed(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
) -> Outcome {
    let before = seen(engine);
    let told = engine.explain(now, packet, fib);
    assert_eq!(seen(engine), before, "explaining changes nothing");
    let first = engine.outputs.len();
    let known: Vec<FlowId> = engine.flows().map(|(id, _)| id).collect();
    let mut trace = Trace::default();
    let outcome = engine.process_traced(now, packet, fib, &mut trace);
    if told.caveat == Some(Caveat::Fragment) {
        return outcome;
    }
    let flow = outcome.flow.filter(|id| known.contains(id));
    assert_eq!(told.trace.steps, trace.steps);
    assert_eq!(told.outcome, Outcome { flow, ..outcome });
    assert_eq!((told.datagram.as_slice(), told.caveat), (&*packet.bytes, None));
    assert!(engine.outputs.iter().skip(first).eq(&told.outputs));
    outcome
}
