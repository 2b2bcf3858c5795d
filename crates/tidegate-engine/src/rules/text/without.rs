//! Names that iptables has and the engine doesn't, so that a message can tell what is missing from what is misspelt.
//! They are those of iptables 1.8.9.

use tidegate_wire::Family;

use crate::rules::ast::Protocol;

/// Whether iptables has a match of this name in the family.
pub(super) fn is_match(family: Family, name: &str) -> bool {
    MATCHES.of(family, name)
}

/// Whether iptables has a target of this name in the family.
pub(super) fn is_target(family: Family, name: &str) -> bool {
    TARGETS.of(family, name)
}

/// Whether it is an option of the iptables command, one that has no place in a saved rule.
pub(super) fn is_command_option(word: &str) -> bool {
    COMMAND_OPTIONS.contains(&word)
}

/// Whether `-p` with the protocol brings along the options of a match that the engine doesn't have.
pub(super) fn is_implied(protocol: Protocol) -> bool {
    const DCCP_ESP_AH_IPCOMP_SCTP_MH_UDPLITE: [u8; 7] = [33, 50, 51, 108, 132, 135, 136];
    DCCP_ESP_AH_IPCOMP_SCTP_MH_UDPLITE.contains(&protocol.0)
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

const MATCHES: Without = Without {
    both: &[
        "ah",
        "bpf",
        "cgroup",
        "cluster",
        "connbytes",
        "connlabel",
        "connlimit",
        "cpu",
        "dccp",
        "devgroup",
        "dscp",
        "ecn",
        "esp",
        "hashlimit",
        "ipcomp",
        "ipvs",
        "l2tp",
        "length",
        "nfacct",
        "osf",
        "owner",
        "physdev",
        "pkttype",
        "policy",
        "quota",
        "rateest",
        "recent",
        "rpfilter",
        "sctp",
        "set",
        "socket",
        "statistic",
        "string",
        "tcpmss",
        "time",
        "tos",
        "u32",
        "udplite",
    ],
    v4: &["realm", "ttl"],
    v6: &["dst", "eui64", "frag", "hbh", "hl", "ipv6header", "mh", "rt", "srh"],
};

const TARGETS: Without = Without {
    both: &[
        "AUDIT",
        "CHECKSUM",
        "CLASSIFY",
        "CONNSECMARK",
        "DSCP",
        "HMARK",
        "IDLETIMER",
        "LED",
        "NFLOG",
        "NFQUEUE",
        "QUEUE",
        "RATEEST",
        "SECMARK",
        "SET",
        "SYNPROXY",
        "TCPMSS",
        "TCPOPTSTRIP",
        "TEE",
        "TOS",
        "TPROXY",
        "TRACE",
    ],
    v4: &["CLUSTERIP", "ECN", "TTL", "ULOG"],
    v6: &["DNPT", "HL", "SNPT"],
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
