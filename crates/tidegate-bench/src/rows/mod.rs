//! The rows: what is measured, one file a kind.
//!
//! A row is a name, a sentence, and a subject that is measured beside the references. Rows that
//! need the same table share it: filling ten million flows takes longer than measuring them.

pub mod attack;
pub mod creation;
pub mod established;
pub mod growth;
pub mod lookup;
pub mod references;
pub mod workers;

use crate::session::{Session, is_roomy};

macro_rules! rows {
    ($($variant:ident $name:literal $what:literal,)*) => {
        /// Every row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum RowName {
            $(#[doc = $what] $variant,)*
        }

        impl RowName {
            /// All rows, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in tables and files.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is measured.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => $what,)*
                }
            }
        }
    };
}

rows! {
    LimitL1 "limit_l1" "two dependent random lines, written, prefetched into L1 in bursts of 32",
    Limit "limit" "the same, prefetched into L2 in a sliding window of 128",
    Floor "floor" "parse, hash with a key, index line, entry, whole key, counters; bursts of 128",
    FloorLookup "floor_lookup" "hash, index line and entry of known tuples alone; bursts of 128",
    HashbrownFast "hashbrown_fast" "parse, then a hash map of 64-byte records, its own fast hash",
    HashbrownSip "hashbrown_sip" "the same with the standard library's SipHash",
    Lookup "lookup" "Engine::find_batch of known tuples, in bursts; ratio to floor_lookup",
    UdpEstablished "udp_established" "a UDP packet of an established flow, either way",
    TcpEstablished "tcp_established" "a TCP segment with data in the window, either way",
    TcpTimestamps "tcp_timestamps" "the same with a timestamp, as most hosts send it; SACK permitted",
    TcpRules20 "tcp_rules20" "tcp_established under 20 rules in raw, mangle and filter",
    TcpRules20Nat "tcp_rules20_nat" "the same under 20 rules, nat included, every packet translated",
    TcpRules20NatAcct "tcp_rules20_nat_acct" "the same, flows counting packets and bytes (nf_conntrack_acct)",
    TcpRules10kNat "tcp_rules10k_nat" "tcp_rules20_nat under 10,000 rules",
    TcpRules20Late "tcp_rules20_late" "20 rules without nat, those for established flows last",
    TcpRules20Marked "tcp_rules20_marked" "20 rules without nat, one of which every packet must meet",
    Zipf "zipf" "UDP packets of established flows, popular flows more often (Zipf's law)",
    UdpNew "udp_new" "a flow's first UDP packet: miss, draft, confirmation, timer",
    UdpNewSnat "udp_new_snat" "the same under SNAT, three ports of four taken",
    TcpConnection "tcp_connection" "a connection: six segments from SYN to last ACK, and its removal",
    Expiry "expiry" "a flow's end by timeout, all of them due at once, in budgets of 1024",
    Dump "dump" "a flow of Engine::flows()",
    Growth "growth" "udp_new while the table doubles; the ratio is slowest to median burst",
    TcpEstablished2w "tcp_established_2w" "two workers with half of the flows each; ratio to one worker",
    AttackCollisions "attack_collisions" "tcp_established amid flows that collide without a key; ratio to quiet",
    AttackSynflood "attack_synflood" "tcp_established amid SYNs from everywhere, table full; ratio to quiet",
    AttackOneBucket "attack_one_bucket" "tcp_established amid SYNs to one port; ratio to quiet",
}

impl RowName {
    /// Whether a row of this name is about packets of established flows, which allocate nothing.
    #[must_use]
    pub fn never_allocates(name: &str) -> bool {
        [Self::UdpEstablished, Self::TcpEstablished, Self::TcpTimestamps, Self::Zipf]
            .into_iter()
            .chain([Self::TcpRules20, Self::TcpRules20Nat, Self::TcpRules10kNat])
            .chain([Self::TcpRules20Late, Self::TcpRules20Marked, Self::TcpRules20NatAcct])
            .any(|row| row.as_str() == name)
    }
}

/// Measures whatever of the session is asked for.
pub fn run(session: &mut Session<'_>) {
    references::run(session);
    established::tcp(session);
    established::udp(session);
    established::rules(session);
    creation::run(session);
    // These take the memory of two or three tables.
    if is_roomy(session.flows) {
        growth::run(session);
        workers::run(session);
        attack::run(session);
    }
}
