//! What pulled connection tracking in, and which ports sources are translated to: from what `iptables-save` and `nft`
//! print, where there are such programs. They only list.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use std::{fs, io::Read};

use tidegate_gateway::clock::Stopwatch;

use super::super::facts::{Rules, Whose};

/// Asks the programs that there are.
pub(super) fn read(table: Whose, blind: &mut Vec<String>) -> Rules {
    let mut rules = Rules::default();
    if table != Whose::Kernel {
        return rules;
    }
    rules.has_iptables = exists("iptables");
    rules.has_nft = exists("nft");
    for program in ["iptables-save", "ip6tables-save"] {
        match print(program, &[]) {
            Some(text) => rules.take_iptables(&text, program.trim_end_matches("-save")),
            None if exists(program) => blind.push(format!("{program} gave no answer")),
            None => {}
        }
    }
    match print("nft", &["-t", "list", "ruleset"]) {
        Some(text) => rules.take_nft(&text),
        None if rules.has_nft => blind.push("nft gave no answer".to_owned()),
        None => {}
    }
    rules
}

impl Rules {
    fn take_iptables(&mut self, text: &str, program: &str) {
        let mut table = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if line.starts_with("-A ")
                && IPTABLES.iter().any(|word| line.contains(word))
                && !line.contains("--notrack")
            {
                self.add(format!("{program} -t {table} {line}"));
                self.translates |= TRANSLATIONS.iter().any(|word| line.contains(word));
                self.ranges.extend(range_behind(line, "--to-source "));
            }
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
        // What iptables-nft made is shown by both.
        if !self.users.contains(&user) && self.users.len() < MOST {
            self.users.push(user);
        }
    }
}

/// `ADDRESS:FIRST-LAST` behind a word.
fn range_behind(line: &str, word: &str) -> Option<(IpAddr, u16, u16)> {
    let (_, rest) = line.split_once(word)?;
    let (address, ports) = rest.split_whitespace().next()?.rsplit_once(':')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let address = address.trim_matches(['[', ']']).parse().ok()?;
    Some((address, first.parse().ok()?, last.parse().ok()?))
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
        assert_eq!(rules.ranges, [("192.0.2.1".parse().expect("an address"), 4000, 4099)]);
        assert!(rules.translates);
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
