//! Several workers against the kernel: the recorded scenarios, each packet of which enters at any worker.

use serde_json::Value;

use tidegate_gateway::replay::{Crew, Fault, Recorder, Replay, Scenario as Input};
use tidegate_sim::corpus::{self, Scenario};
use tidegate_sim::oracle::{Options, compare};

fn replay(scenario: &Scenario, crew: Crew) -> Result<Vec<Value>, Vec<Fault>> {
    let input = Input::from_files(&scenario.name, scenario.files.clone())?;
    let mut record = Vec::new();
    let mut replay = Replay::with_workers(input, true, crew);
    Recorder::new(&mut record).run(&mut replay, |_| Ok(())).expect("a record in memory");
    let text = String::from_utf8(record).expect("JSON is UTF-8");
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

fn difference(scenario: &Scenario, crew: Crew) -> Option<String> {
    let records = replay(scenario, crew).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
    let comparison = compare(scenario, &records, Options { strict: true });
    comparison.differences.first().map(ToString::to_string)
}

#[test]
fn workers_decide_like_the_kernel() {
    for workers in [2, 3] {
        let scenarios = corpus::scenarios().expect("the corpus");
        let (mut equal, mut wrong) = (0, Vec::new());
        for scenario in &scenarios {
            let mut tries = (0..24).map(|secret| difference(scenario, Crew { workers, secret }));
            let all: Vec<_> = tries
                .by_ref()
                .map_while(|it| it.map(|d| d.chars().take(150).collect::<String>()))
                .collect();
            if all.len() < 24 {
                equal += 1;
                if all.len() > 0 {
                    wrong.push(format!("OK {} {}: {}", all.len(), scenario.name, all[0]));
                }
            } else {
                wrong.push(format!("NO {}: {} // {} // {}", scenario.name, all[0], all[1], all[2]));
            }
        }
        eprintln!("{workers} workers: {equal} equal, {} wrong\n{}", wrong.len(), wrong.join("\n"));
    }
    panic!();
}
