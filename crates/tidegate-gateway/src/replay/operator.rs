//! Does what `control.jsonl` asks for: an operator's commands to the engine.

use std::collections::BTreeMap;

use tidegate_engine::Engine;
use tidegate_engine::flow::FlowId;
use tidegate_engine::rules::Ruleset;
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::{Tuple, Zone, ZoneScope};

use super::control::{Action, Target, l4_number};
use super::fault::Cause;

/// Rules that actions load, by family number and file name.
pub(super) type LaterRules = BTreeMap<(u8, String), Ruleset>;

/// Does one action. Deleting what is not there is no fault.
pub(super) fn act(
    engine: &mut Engine,
    now: Instant,
    action: &Action,
    rules: &LaterRules,
) -> Result<(), Cause> {
    match action {
        Action::End => {}
        Action::Flush => {
            engine.flush(now);
        }
        Action::Sysctl { key, value } => {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            engine.set(key, &value).map_err(|error| Cause::Setting(Box::new(error)))?;
        }
        Action::Delete(target) => {
            let (tuple, zone) = named(target)?;
            engine.delete(now, &tuple, zone);
        }
        Action::Mark { l4, src, dst, mark } => {
            let proto = proto_of(l4)?;
            let chosen = |t: &Tuple| t.proto == proto && t.src == *src && t.dst == *dst;
            mark_all(engine, now, *mark, chosen);
        }
        Action::Rules { family, file } => {
            if let Some(rules) = rules.get(&(*family, file.clone())) {
                engine.replace_rules(rules);
            }
        }
    }
    Ok(())
}

fn named(target: &Target) -> Result<(Tuple, Zone), Cause> {
    let proto = proto_of(&target.l4)?;
    let Target { src, dst, sport, dport, zone: id, .. } = *target;
    Ok((Tuple { src, dst, sport, dport, proto }, Zone { id, scope: ZoneScope::Both }))
}

fn proto_of(name: &str) -> Result<u8, Cause> {
    l4_number(name).ok_or_else(|| Cause::UnknownProtocol(name.to_owned()))
}

fn mark_all(engine: &mut Engine, now: Instant, mark: u32, chosen: impl Fn(&Tuple) -> bool) {
    let flows = engine.flows().filter(|(_, flow)| chosen(&flow.orig));
    let ids: Vec<FlowId> = flows.map(|(id, _)| id).collect();
    for id in ids {
        engine.set_mark(now, id, mark);
    }
}
