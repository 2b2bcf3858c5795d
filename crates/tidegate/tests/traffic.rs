//! Programs that nobody here wrote, through a gateway of the lab: iperf3, FTP, dig, traceroute, ping, curl; loss, an
//! interface that goes down, and a gateway that is killed.
//!
//! All of it with Tidegate, and with the kernel's router as the control experiment. Takes root, or user namespaces for
//! everybody, and the programs; run by name:
//!
//!     cargo test -p tidegate --test traffic

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use stage::{Program, TIDEGATE, command_of, play, until, workers};

fn main() -> ExitCode {
    play(
        &[
            ("iperf3", iperf3_runs_both_ways),
            ("ftp", files_come_by_active_and_passive_ftp),
            ("dig", dig_is_answered),
            ("traceroute", the_gateway_is_one_hop),
            ("ping", ping_is_told_the_path_s_mtu),
            ("short", ten_thousand_short_connections),
            ("loss", tcp_gets_over_loss),
            ("down", an_interface_goes_down_and_up),
            ("killed", a_gateway_that_is_killed_can_be_started_again),
        ],
        || {},
    )
}

/// Runs a line of the shell on the client, and one on the server, with both gateways; what the first one printed.
fn each(rules4: Option<&Path>, server: &str, client: &str, mut look: impl FnMut(&str, &str)) {
    for gateway in ["kernel", "tidegate"] {
        let mut lab = command_of(TIDEGATE, &["lab", "--no-page", "--gateway", gateway]);
        if let Some(rules) = rules4 {
            lab.arg("--rules4").arg(rules);
        }
        if !server.is_empty() {
            lab.args(["--server", server]);
        }
        let Output { status, stdout, stderr } =
            lab.args(["--", "sh", "-ec", client]).output().unwrap();
        let (said, complaint) = (text(&stdout), text(&stderr));
        assert!(status.success(), "{gateway}: {client}: {status}\n{said}\n{complaint}");
        look(gateway, &said);
    }
}

fn iperf3_runs_both_ways() {
    let lines = [
        "iperf3 -J -t 2 -c server",
        "iperf3 -J -t 2 -R -c 203.0.113.2",
        "iperf3 -J -t 2 -u -b 20M -c server",
    ];
    for line in lines {
        each(None, "iperf3 -s >/dev/null", line, |gateway, said| {
            let report: Value = serde_json::from_str(said).unwrap();
            let sum = |name: &str| report["end"][name]["bits_per_second"].as_f64();
            let rate = sum("sum_received").or_else(|| sum("sum")).unwrap();
            println!("{gateway}: {line}: {:.2} Gbit/s", rate / 1e9);
            assert!(rate > 5e6, "{gateway}: {line}: {rate}");
        });
    }
}

fn files_come_by_active_and_passive_ftp() {
    let dir = tempfile::Builder::new().prefix("ftp.").tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    for place in [dir.path(), &root] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let content: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(root.join("file"), content).unwrap();
    let config = dir.path().join("vsftpd.conf");
    let settings = format!("{VSFTPD}anon_root={}\n", root.display());
    fs::write(&config, settings).unwrap();
    let rules = dir.path().join("rules.v4");
    fs::write(&rules, format!("{FTP_RULES}{EXAMPLE}")).unwrap();
    let server = format!("vsftpd {}", config.display());
    for mode in
        ["--ftp-port -", "--ftp-port - --disable-eprt", "--ftp-pasv", "--ftp-pasv --disable-epsv"]
    {
        let client =
            format!("curl -sS -m 10 {mode} ftp://203.0.113.2/file | cmp - {}/file", root.display());
        each(Some(&rules), &server, &client, |_, _| {});
    }
}

fn dig_is_answered() {
    each(
        None,
        "",
        "dig +short +time=2 +tries=1 a.lab.example; dig @2001:db8:77::2 +short b.lab.example",
        |gateway, said| {
            assert_eq!(
                said.lines().filter(|line| line.starts_with("198.1")).count(),
                2,
                "{gateway}: {said}"
            );
        },
    );
}

/// Each row: how it is asked for, and the two hops.
fn the_gateway_is_one_hop() {
    let rows = [
        ("-n 203.0.113.2", ["10.77.1.1", "203.0.113.2"]),
        ("-n -I 203.0.113.2", ["10.77.1.1", "203.0.113.2"]),
        ("-n -T -p 80 203.0.113.2", ["10.77.1.1", "203.0.113.2"]),
        ("-n -6 2001:db8:77::2", ["fd77:1::1", "2001:db8:77::2"]),
        ("-n -6 -I 2001:db8:77::2", ["fd77:1::1", "2001:db8:77::2"]),
    ];
    for (how, hops) in rows {
        // The server answers no more than some probes at once, and those that several workers carry overtake each other.
        let pace = if workers() > 1 { "-N 1" } else { "" };
        let line = format!("traceroute {pace} -q 1 -w 2 {how} | tail -n +2");
        each(None, "", &line, |gateway, said| {
            let met: Vec<&str> =
                said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
            assert_eq!(met, hops, "{gateway}: {how}: {said}");
        });
    }
}

fn ping_is_told_the_path_s_mtu() {
    for how in ["-4 -s 1472", "-6 -s 1452"] {
        let ping = format!("ping -M do -c 2 -i 0.3 -W 2 {how} server 2>&1 || true");
        // It says `mtu = 1400', `mtu=1400' or `mtu: 1400'.
        each(None, "", &format!("({ping}) | tr '=:' '  ' | tr -s ' '"), |gateway, said| {
            assert!(said.contains("mtu 1400"), "{gateway}: {how}: {said}");
        });
    }
}

fn ten_thousand_short_connections() {
    let client = "curl -sS 'http://203.0.113.2/[1-5000]' | grep -c 'you are 203.0.113.1 port'; \
                  curl -sS -g 'http://[2001:db8:77::2]/' >/dev/null; \
                  curl -sS --globoff 'http://[2001:db8:77::2]/' | grep -c 2001:db8:77::1; \
                  curl -sS 'http://server/[1-5000]' | grep -c 'you are '";
    each(None, "", client, |gateway, said| {
        assert_eq!(said, "5000\n1\n5000\n", "{gateway}");
    });
}

/// Three packets of a hundred are lost, in both directions, and TCP gets everything through.
fn tcp_gets_over_loss() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.v4");
    let lossy = "*mangle\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n\
                 -A FORWARD -m statistic --mode random --probability 0.03 -j DROP\nCOMMIT\n";
    fs::write(&rules, format!("{lossy}{EXAMPLE}")).unwrap();
    for gateway in ["kernel", "tidegate"] {
        let mut lab = command_of(TIDEGATE, &["lab", "--json", "--seconds=5", "--no-page"]);
        let output = lab.args(["--gateway", gateway, "--rules4"]).arg(&rules).output().unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let tally = |name: &str| {
            let rows = summary["checks"].as_array().unwrap().iter();
            let row = rows.filter(|row| row["check"] == name && row["family"] == "ipv4");
            row.map(|row| (row["good"].as_u64(), row["bad"].as_u64())).next().unwrap()
        };
        for check in ["tcp upload", "tcp download", "http requests", "masquerade"] {
            let (good, bad) = tally(check);
            assert!(good > Some(0) && bad == Some(0), "{gateway}: {check}: {summary:#}");
        }
        assert!(tally("dns questions").1 > Some(0), "{gateway}: something was lost");
    }
}

fn an_interface_goes_down_and_up() {
    let client = "curl -sS -m 5 http://203.0.113.2/ >/dev/null; ip link set eth0 down; sleep 1; \
                  ! curl -sS -m 1 http://203.0.113.2/ 2>/dev/null; ip link set eth0 up; sleep 1; \
                  ip route add default via 10.77.1.1; curl -sS -m 5 http://203.0.113.2/";
    each(None, "", client, |gateway, said| {
        assert!(said.starts_with("you are 203.0.113.1 "), "{gateway}: {said}");
    });
}

/// While a client asks again and again, its gateway is killed, and another one is started in the same place.
fn a_gateway_that_is_killed_can_be_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let loop_line = "while true; do curl -s -m 1 http://203.0.113.2/ >/dev/null && echo ok || echo no; sleep 0.1; done";
    let mut lab = command_of(TIDEGATE, &["lab", "--no-page", "--", "sh", "-c", loop_line]);
    lab.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut lab = Program(lab.spawn().unwrap());
    let count =
        |word: &str| fs::read_to_string(&out).unwrap().lines().filter(|line| *line == word).count();
    until(|| (count("ok") > 5).then_some(()));
    let control = fs::read_to_string(&err).unwrap();
    let (_, control) = control.split_once("--socket ").unwrap();
    let control = control.lines().next().unwrap().to_owned();
    let (pid, words) = until(|| running(&control));
    // Someone in the gateway's network, so that it outlives the gateway.
    let keeper = Command::new("nsenter").args(["-t", &pid, "-n", "sleep", "60"]).spawn().unwrap();
    let keeper = Program(keeper);
    sleep(Duration::from_millis(300));
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    let failed = count("no");
    until(|| (count("no") > failed).then_some(()));
    let place = keeper.0.id().to_string();
    let mut again = Command::new("nsenter");
    again.args(["-t", &place, "-n", TIDEGATE]).args(&words[1..]).stderr(Stdio::null());
    let _again = Program(again.spawn().unwrap());
    let held = count("ok");
    until(|| (count("ok") > held + 10).then_some(()));
    lab.end();
}

/// The number and the words of the process that runs with this control socket.
fn running(control: &str) -> Option<(String, Vec<String>)> {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let words: Vec<String> =
            line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(text).collect();
        if words.get(1).is_some_and(|word| word == "run") && words.iter().any(|w| w == control) {
            return Some((entry.file_name().to_string_lossy().into_owned(), words));
        }
    }
    None
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lab's example.
const EXAMPLE: &str = include_str!("../src/lab/rules.v4");
const FTP_RULES: &str = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                         -A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\nCOMMIT\n";
const VSFTPD: &str = "listen=YES\nanonymous_enable=YES\nlocal_enable=NO\nno_anon_password=YES\nseccomp_sandbox=NO\n\
                      connect_from_port_20=YES\nxferlog_enable=NO\n";
