//! Every packet of the corpus, explained before it comes: what is told must be what then happens.

use tidegate_engine::event::Event;
use tidegate_engine::trace::Trace;
use tidegate_engine::{Caveat, Outcome};
use tidegate_gateway::replay::{Replay, Scenario as Input};
use tidegate_sim::corpus;

/// How many packets were compared, and how many were fragments.
#[derive(Debug, Default)]
struct Compared {
    whole: usize,
    fragments: usize,
}

#[test]
fn what_is_explained_happens() {
    let mut compared = Compared::default();
    for scenario in corpus::scenarios().expect("the corpus") {
        let input = Input::from_files(&scenario.name, scenario.files.clone());
        let input = input.unwrap_or_else(|faults| panic!("refused: {faults:?}"));
        compare(&mut Replay::new(input, false), &mut compared);
    }
    assert!(compared.whole > 5_000 && compared.fragments > 0, "{compared:?}");
}

fn compare(replay: &mut Replay, compared: &mut Compared) {
    replay.keep_output(true);
    let deaf = &mut |_: Event| {};
    while let Some(arrival) = replay.arrive(deaf).expect("a capture") {
        let ingress = replay.ingress();
        // What is cut off comes with checksums that nobody looks at.
        if !ingress.is_ip() || ingress.is_cut() {
            replay.pass(deaf);
            continue;
        }
        let mut bytes = Vec::new();
        let packet = ingress.copy_to(&mut bytes);
        let told = replay.engine().explain(replay.now(), &packet, replay.world());
        let known: Vec<_> = replay.engine().flows().map(|(id, _)| id).collect();
        let mut trace = Trace::default();
        let Some(outcome) = replay.pass_traced(deaf, &mut trace).outcome else { continue };
        if told.caveat == Some(Caveat::Fragment) {
            compared.fragments += 1;
            continue;
        }
        let flow = outcome.flow.filter(|id| known.contains(id));
        let (name, index) = (replay.name(), arrival.index);
        assert_eq!(told.trace.steps, trace.steps, "{name} {index}");
        assert_eq!(told.outcome, Outcome { flow, ..outcome }, "{name} {index}");
        assert_eq!(told.caveat, None, "{name} {index}");
        compared.whole += 1;
    }
}
