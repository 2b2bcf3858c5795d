//! The rules that rows are measured under, as an operator would write them.

use tidegate_engine::rules::{Ruleset, parse};
use tidegate_wire::Family;

/// Which rules are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// None: conntrack and forwarding alone.
    None,
    /// 20 in raw, mangle and filter; those that belong to a flow are accepted by the filter's first.
    Twenty,
    /// 20 in raw, mangle, filter and nat; all flows are source-translated.
    TwentyNat,
    /// The same with 10,000 rules in the filter, behind the one that accepts established flows.
    TenThousandNat,
    /// [`Rules::Twenty`] with the rule for established flows as the filter's last.
    TwentyLate,
    /// [`Rules::Twenty`], of which one in mangle gives every packet its flow's mark: then none may
    /// skip the rules.
    TwentyMarked,
    /// One rule, which translates every flow's source.
    Snat,
}

impl Rules {
    /// The rules, read; `None` where there are none.
    ///
    /// # Panics
    /// If they are wrong.
    #[must_use]
    pub fn parsed(self, family: Family) -> Option<Ruleset> {
        let text = self.text(family)?;
        let rules = parse(family, "bench", &text);
        Some(rules.unwrap_or_else(|errors| panic!("the rules of this program: {errors:?}")))
    }

    /// Whether flows are source-translated under them.
    #[must_use]
    pub fn translates(self) -> bool {
        matches!(self, Self::TwentyNat | Self::TenThousandNat | Self::Snat)
    }

    /// The rules, as `iptables-save` writes them; `None` where there are none.
    #[must_use]
    pub fn text(self, family: Family) -> Option<String> {
        let net = |number: u32| match family {
            Family::V4 => format!("172.{}.{}.0/24", 16 + (number >> 8), number & 0xff),
            Family::V6 => format!("2001:db8:f:{number:x}::/64"),
        };
        let blocked = |count: u32| {
            (0..count).map(|i| format!("-A FORWARD -s {} -j DROP\n", net(i))).collect::<String>()
        };
        let ports = |list: &[u16]| {
            list.iter()
                .map(|port| format!("-A FORWARD -p tcp -m tcp --dport {port} -j DROP\n"))
                .collect::<String>()
        };
        Some(match self {
            Self::None => return None,
            Self::Twenty => {
                let filter = [KNOWN, INVALID, &ports(&[23, 25, 135, 139, 445]), &blocked(5), NEW];
                [RAW, MANGLE, &table(&filter)].concat()
            }
            Self::TwentyMarked => {
                let filter = [KNOWN, INVALID, &ports(&[23, 25, 135, 139, 445]), &blocked(4), NEW];
                let mangle = MANGLE.replace("*mangle\n", &["*mangle\n", RESTORE].concat());
                [RAW, &mangle, &table(&filter)].concat()
            }
            Self::TwentyLate => {
                let filter = [INVALID, &ports(&[23, 25, 135, 139, 445]), &blocked(5), NEW, KNOWN];
                [RAW, MANGLE, &table(&filter)].concat()
            }
            Self::TwentyNat => {
                let filter = [KNOWN, INVALID, &ports(&[23, 25, 135]), &blocked(4), NEW];
                [RAW, MANGLE, &table(&filter), &nat(family)].concat()
            }
            Self::TenThousandNat => {
                let filter = [KNOWN, INVALID, &ports(&[23, 25, 135]), &blocked(9984), NEW];
                [RAW, MANGLE, &table(&filter), &nat(family)].concat()
            }
            Self::Snat => format!(
                "*nat\n-A POSTROUTING -o wan -j SNAT --to-source {}\nCOMMIT\n",
                gateway(family)
            ),
        })
    }
}

fn table(filter: &[&str]) -> String {
    format!("*filter\n:FORWARD DROP [0:0]\n{}COMMIT\n", filter.concat())
}

/// Three rules: a port forwarded, the source of two networks translated.
fn nat(family: Family) -> String {
    let (inner, other) = match family {
        Family::V4 => ("10.0.1.10:80", "192.168.0.0/16"),
        Family::V6 => ("[fd00::10]:80", "fd01::/16"),
    };
    let gateway = gateway(family);
    format!(
        "*nat\n\
         -A PREROUTING -i wan -p tcp -m tcp --dport 8080 -j DNAT --to-destination {inner}\n\
         -A POSTROUTING -s {other} -o wan -j SNAT --to-source {gateway}\n\
         -A POSTROUTING -o wan -j SNAT --to-source {gateway}\n\
         COMMIT\n"
    )
}

fn gateway(family: Family) -> String {
    crate::plan::GATEWAY.address(family).to_string()
}

const KNOWN: &str = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";
const INVALID: &str = "-A FORWARD -m conntrack --ctstate INVALID -j DROP\n";
const NEW: &str = "-A FORWARD -i lan -o wan -m conntrack --ctstate NEW -j ACCEPT\n";

/// Three rules.
const RAW: &str = "*raw\n\
    -A PREROUTING -p udp -m udp --dport 69 -j CT --notrack\n\
    -A PREROUTING -i wan -p udp -m udp --sport 19 -j DROP\n\
    -A PREROUTING -i wan -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP\n\
    COMMIT\n";

/// Four rules.
const MANGLE: &str = "*mangle\n\
    -A PREROUTING -p tcp -m tcp --dport 22 -j MARK --set-xmark 0x1/0xffffffff\n\
    -A PREROUTING -p udp -m udp --dport 5060 -j MARK --set-xmark 0x2/0xffffffff\n\
    -A FORWARD -p tcp -m tcp --dport 873 -j MARK --set-xmark 0x3/0xffffffff\n\
    -A POSTROUTING -p udp -m udp --dport 4500 -j MARK --set-xmark 0x4/0xffffffff\n\
    COMMIT\n";

const RESTORE: &str = "-A PREROUTING -j CONNMARK --restore-mark\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_has_as_many_rules_as_it_says() {
        let rows = [
            (Rules::Twenty, 20),
            (Rules::TwentyLate, 20),
            (Rules::TwentyMarked, 20),
            (Rules::TwentyNat, 20),
            (Rules::TenThousandNat, 10_000),
            (Rules::Snat, 1),
        ];
        for family in [Family::V4, Family::V6] {
            for (rules, expected) in rows {
                let text = rules.text(family).expect("a text");
                let count = text.lines().filter(|line| line.starts_with("-A ")).count();
                assert_eq!(count, expected, "{rules:?}");
                assert!(rules.parsed(family).is_some(), "{rules:?}");
            }
        }
    }
}
