//! `tidegate check`: what is wrong with a gateway's file.

use tidegate_engine::limits::Limits;
use tidegate_gateway::config::Config;
use tidegate_gateway::replay::Provisions;

use super::Failure;
use crate::flags::run::CheckArgs;
use crate::message;

/// Runs the command. What the named files say is told even if the file itself is at fault.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let (config, mut faults) = Config::survey(&args.file);
    let mut words = String::new();
    if let Some(config) = &config {
        match Provisions::read(Limits::default(), &config.inputs) {
            Ok(provisions) => {
                provisions.warnings.iter().for_each(message::warning);
                words = summary(config, &provisions);
            }
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    message::note(format_args!("{}: all is well: {words}", args.file.display()));
    Ok(())
}

fn summary(config: &Config, provisions: &Provisions) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let rules: usize = provisions.rules.iter().map(|(_, rules)| rules.rules().count()).sum();
    let interfaces = count(config.interfaces.len(), "interface");
    format!("{interfaces}, {}", count(rules, "rule"))
}
