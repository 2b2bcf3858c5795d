//! What pulled connection tracking in, and which ports sources are translated to: from what `iptables-save` and `nft`
//! print, where there are such programs. They only list.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use std::{fs, io::Read};

use rustix::process::geteuid;
use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::proto;

use super::super::blind::Blind;
use super::super::facts::{Range, Rule, Rules, Whose};
use super::super::foreign;

/// Asks the programs that there are.
pub(super) fn read(table: Whose, blind: &mut Blind) -> Rules {
    let mut rules = Rules::default();
    if table != Whose::Kernel {
        return rules;
    }
    rules.has_iptables = exists("iptables");
    rules.has_nft = exists("nft");
    let mut silent = Vec::new();
    for program in ["iptables-save", "ip6tables-save"] {
        match print(program, &[]) {
            Some(text) => rules.take_iptables(&text, program.trim_end_matches("-save")),
            None if exists(program) => silent.push(program),
            None => {}
        }
    }
    match print("nft", &["-t", "list", "ruleset"]) {
        Some(text) => rules.take_nft(&text),
        None if rules.has_nft => silent.push("nft"),
        None => {}
    }
    match geteuid().is_root() {
        _ if silent.is_empty() => {}
        true => blind.because("rules", format_args!("no answer of {}", silent.join(", "))),
        false => blind.denied("rules"),
    }
    rules
}

impl Rules {
    fn take_iptables(&mut self, text: &str, program: &str) {
        let mut table = "";
        let mut lengths: HashMap<(&str, String), usize> = HashMap::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some(rest) = line.strip_prefix("-A ") {
                // A comment that holds an end of line: where rules begin behind it is not sure.
                let Some(mut words) = foreign::words(rest).filter(|words| !words.is_empty()) else {
                    return;
                };
                let chain = words.remove(0);
                let number = lengths.entry((table, chain.clone())).or_default();
                *number += 1;
                let (program, table) = (program.to_owned(), table.to_owned());
                let rule = Rule { program, table, chain, number: *number, words };
                self.take_rule(line, rule);
            }
        }
    }

    fn take_rule(&mut self, line: &str, rule: Rule) {
        let is_of = |words: &[&str]| words.iter().any(|word| line.contains(word));
        if !is_of(&IPTABLES) || line.contains("--notrack") {
            return;
        }
        self.add(format!("{} -t {} {line}", rule.program, rule.table));
        self.translates |= is_of(&TRANSLATIONS);
        self.ranges.extend(range_behind(line, "--to-source "));
        // What can't be shown can't be pasted.
        let is_plain = rule.words.iter().all(|word| foreign::shown(word) == *word);
        if is_of(&SOURCES) && is_plain && self.sources.len() < MOST {
            self.sources.push(rule);
        }
    }

    fn take_nft(&mut self, text: &str) {
        let (mut table, mut chain) = ("", "");
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("table ") {
                table = rest.trim_end_matches(" {");
            } else if let Some(rest) = line.strip_prefix("chain ") {
                chain = rest.trim_end_matches(" {");
            } else if NFT.iter().any(|word| format!(" {line} ").contains(word))
                && !line.starts_with("type ")
            {
                self.add(format!("nft {table} {chain}: {line}"));
                self.translates |=
                    NFT_TRANSLATIONS.iter().any(|word| format!(" {line} ").contains(word));
                self.ranges.extend(
                    range_behind(line, "snat to ").or_else(|| range_behind(line, "snat ip to ")),
                );
            }
        }
    }

    fn add(&mut self, user: String) {
        let user = foreign::shown(&user);
        // What iptables-nft made is shown by both.
        if !self.users.contains(&user) && self.users.len() < MOST {
            self.users.push(user);
        }
    }
}

/// `ADDRESS:FIRST-LAST` behind a word.
fn range_behind(line: &str, word: &str) -> Option<Range> {
    let is_of = |word: &str| format!(" {line} ").contains(word);
    let proto = if is_of("-p tcp ") || is_of(" tcp ") {
        Some(proto::TCP)
    } else {
        (is_of("-p udp ") || is_of(" udp ")).then_some(proto::UDP)
    };
    let (_, rest) = line.split_once(word)?;
    let (address, ports) = rest.split_whitespace().next()?.rsplit_once(':')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let address = address.trim_matches(['[', ']']).parse().ok()?;
    Some(Range { address, proto, first: first.parse().ok()?, last: last.parse().ok()? })
}

fn exists(program: &str) -> bool {
    DIRECTORIES.iter().any(|dir| fs::exists(format!("{dir}/{program}")).unwrap_or(false))
}

/// What a program of the system prints, if it succeeds in time.
fn print(program: &str, args: &[&str]) -> Option<String> {
    let path = DIRECTORIES
        .iter()
        .map(|dir| format!("{dir}/{program}"))
        .find(|path| fs::exists(path).unwrap_or(false))?;
    let mut child = Command::new(path)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let out = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        out.take(LONGEST)
            .read_to_end(&mut text)
            .ok()
            .map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let watch = Stopwatch::start();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return reader.join().ok()?.filter(|_| status.success()),
            Ok(None) if watch.elapsed() < PATIENCE => sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// What in a rule of iptables needs connection tracking.
const IPTABLES: [&str; 14] = [
    "-m conntrack ",
    "-m state ",
    "-m connmark ",
    "-m connlimit ",
    "-m connbytes ",
    "-m connlabel ",
    "-m helper ",
    "-j MASQUERADE",
    "-j SNAT",
    "-j DNAT",
    "-j REDIRECT",
    "-j CONNMARK",
    "-j NETMAP",
    "-j CT ",
];
/// Those that translate sources.
const SOURCES: [&str; 2] = ["-j MASQUERADE", "-j SNAT"];
const TRANSLATIONS: [&str; 5] = ["-j MASQUERADE", "-j SNAT", "-j DNAT", "-j REDIRECT", "-j NETMAP"];
/// The same of nft.
const NFT: [&str; 6] = [" ct ", " masquerade ", " snat ", " dnat ", " redirect ", " flow add "];
const NFT_TRANSLATIONS: [&str; 4] = [" masquerade ", " snat ", " dnat ", " redirect "];
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
const PATIENCE: Duration = Duration::from_millis(1000);
/// Of larger rulesets the beginning is read.
const LONGEST: u64 = 4 << 20;
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_need_tracking_are_told_from_others() {
        let mut rules = Rules::default();
        let text = "*raw\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n*nat\n-A POSTROUTING -o eth0 -p tcp -j SNAT --to-source 192.0.2.1:4000-4099\nCOMMIT\n*filter\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n";
        rules.take_iptables(text, "iptables");
        let expected = [
            "iptables -t nat -A POSTROUTING -o eth0 -p tcp -j SNAT --to-source 192.0.2.1:4000-4099",
            "iptables -t filter -A INPUT -m conntrack --ctstate INVALID -j DROP",
        ];
        assert_eq!(rules.users, expected);
        let address = "192.0.2.1".parse().expect("an address");
        assert_eq!(rules.ranges, [Range { address, proto: Some(6), first: 4000, last: 4099 }]);
        assert!(rules.translates);
    }

    #[test]
    fn a_rule_goes_in_front_of_its_like_and_of_no_other() {
        let mut rules = Rules::default();
        let text = "*nat\n-A OTHER -j RETURN\n-A POSTROUTING -m policy --dir out --pol ipsec -j ACCEPT\n-A POSTROUTING -m comment --comment \"$(reboot) it\" -j MASQUERADE\nCOMMIT\n";
        rules.take_iptables(text, "iptables");
        let [rule] = &rules.sources[..] else { panic!("{rules:#?}") };
        let lines = rule.in_front(&rule.words);
        let words = "-m comment --comment '$(reboot) it' -j MASQUERADE";
        assert_eq!(lines[0], format!("iptables -t nat -I POSTROUTING 2 {words}"));
        assert_eq!(lines[1], format!("iptables -t nat -D POSTROUTING {words}"));
    }

    #[test]
    fn so_are_those_of_nft() {
        let mut rules = Rules::default();
        let text = "table inet f {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 22 accept\n\t\tct state invalid drop\n\t}\n\tchain n {\n\t\tsnat ip to 192.0.2.1:4000-4009\n\t}\n}\n";
        rules.take_nft(text);
        assert_eq!(
            rules.users,
            ["nft inet f c: ct state invalid drop", "nft inet f n: snat ip to 192.0.2.1:4000-4009"]
        );
        assert_eq!(rules.ranges.len(), 1);
    }
}
