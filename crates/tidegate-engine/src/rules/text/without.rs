//! Names that iptables has and the engine doesn't, so that a message can tell what is missing from what is misspelt.
//! They are those of iptables 1.8.9.

use tidegate_wire::Family;

use crate::rules::ast::Protocol;
use crate::rules::error::GrammarError;

/// Why there is no match of this name.
pub(super) fn no_match(family: Family, name: &str) -> GrammarError {
    if FOREIGN_MATCHES.of(family, name) {
        GrammarError::ForeignMatch
    } else if MATCHES.of(family, name) {
        GrammarError::UnsupportedMatch
    } else {
        GrammarError::UnknownMatch
    }
}

/// Why there is no target of this name.
pub(super) fn no_target(family: Family, name: &str) -> GrammarError {
    if FOREIGN_TARGETS.of(family, name) {
        GrammarError::ForeignTarget
    } else if TARGETS.of(family, name) {
        GrammarError::UnsupportedTarget
    } else {
        GrammarError::UnknownTarget
    }
}

/// Whether it is an option of the iptables command, one that has no place in a saved rule.
pub(super) fn is_command_option(word: &str) -> bool {
    COMMAND_OPTIONS.contains(&word)
}

/// Whether `-p` with the protocol brings along the options of a match that the engine doesn't have.
pub(super) fn is_implied(protocol: Protocol) -> bool {
    const DCCP_IPCOMP_MH: [u8; 3] = [33, 108, 135];
    DCCP_IPCOMP_MH.contains(&protocol.0)
}

struct Without {
    both: &'static [&'static str],
    v4: &'static [&'static str],
    v6: &'static [&'static str],
}

impl Without {
    fn of(&self, family: Family, name: &str) -> bool {
        let own = match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        };
        self.both.contains(&name) || own.contains(&name)
    }
}

/// What may come yet.
const MATCHES: Without = Without { both: &[], v4: &[], v6: &[] };

/// What may come yet.
const TARGETS: Without = Without { both: &[], v4: &[], v6: &[] };

/// Matches about what only a kernel has: its sockets, control groups, processors, routing realms and offload.
const FOREIGN_MATCHES: Without = Without {
    both: &[
        "bpf", "cgroup", "cluster", "cpu", "dccp", "devgroup", "ipcomp", "ipvs", "l2tp", "nfacct",
        "osf", "rateest", "socket",
    ],
    v4: &["realm"],
    v6: &["eui64", "mh", "srh"],
};

/// Targets that work on such things.
const FOREIGN_TARGETS: Without = Without {
    both: &["AUDIT", "CONNSECMARK", "IDLETIMER", "LED", "QUEUE", "RATEEST", "SECMARK", "TEE"],
    v4: &["CLUSTERIP", "ULOG"],
    v6: &[],
};

const COMMAND_OPTIONS: &[&str] = &[
    "-4",
    "--ipv4",
    "-6",
    "--ipv6",
    "-t",
    "--table",
    "-w",
    "--wait",
    "-W",
    "-v",
    "--verbose",
    "-n",
    "--numeric",
    "-x",
    "--exact",
    "--line-numbers",
    "--modprobe",
    "-A",
    "--append",
    "-C",
    "--check",
    "-D",
    "--delete",
    "-I",
    "--insert",
    "-R",
    "--replace",
    "-L",
    "--list",
    "-S",
    "--list-rules",
    "-F",
    "--flush",
    "-Z",
    "--zero",
    "-N",
    "--new-chain",
    "-X",
    "--delete-chain",
    "-P",
    "--policy",
    "-E",
    "--rename-chain",
    "-h",
    "--help",
    "-V",
    "--version",
];
