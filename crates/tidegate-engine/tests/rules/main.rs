//! Rulesets as text: what iptables-save would print of them, what is refused and where, and that no text panics.

mod golden;
mod refused;
mod robust;
mod values;
