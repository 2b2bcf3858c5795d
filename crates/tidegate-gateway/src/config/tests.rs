//! What a file may say, and how it is told that it may not.

use super::*;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    parse_for(text, None)
}

fn parse_for(text: &str, workers: Option<u16>) -> Result<Config, Vec<String>> {
    let faults = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
    Config::parse(Path::new("/etc/tidegate/gateway.toml"), text, workers).map_err(faults)
}

#[test]
fn what_is_not_said_is_usual() {
    let config = parse("").unwrap();
    assert!(config.interfaces.is_empty() && config.fixed.is_none() && !config.take_over);
    assert_eq!((config.workers, config.backlog), (1, 16_384));
    assert_eq!(config.control.socket, Path::new("/run/tidegate.sock"));
    assert_eq!(config.control.policy.mode, 0o600);
}

#[test]
fn all_that_may_be_said() {
    let config = parse(
        r#"
plane = "af-packet"
workers = 2
pin = [3, 1]
take-over = true
busy-poll = 50
backlog = 100
metrics = "127.0.0.1:9465"
state = "flows"
[control]
socket = "tidegate.sock"
mode = "660"
group = 7
admin-group = 8
[log]
format = "json"
nflog = "copies.pcapng"
nflog-limit = 1000
[[interface]]
name = "lan0"
[[interface]]
name = "wan0"
plane = "af-xdp"
queues = 2
checksum = "metadata"
[[world.link]]
name = "lan0"
mac = "02:00:00:00:00:01"
addresses = ["10.0.0.1/24", "fd00::1/64"]
[[world.route]]
to = "0.0.0.0/0"
port = "lan0"
via = "10.0.0.254"
[[world.neighbour]]
port = "lan0"
address = "10.0.0.254"
mac = "02:00:00:00:00:02"
"#,
    )
    .unwrap();
    let [lan, wan] = &config.interfaces[..] else { panic!("{config:?}") };
    assert_eq!((lan.plane, wan.plane), (Plane::AfPacket, Plane::AfXdp));
    assert_eq!(wan.checksum, Checksum::Metadata);
    assert_eq!(config.control.socket, Path::new("/etc/tidegate/tidegate.sock"));
    let Policy { mode, group, admin_group } = config.control.policy;
    assert_eq!((mode, group, admin_group), (0o660, Some(7), Some(8)));
    assert_eq!((config.workers, config.backlog, config.take_over), (2, 100, true));
    assert_eq!(config.cores, [3, 1]);
    assert_eq!(config.busy_poll, 50);
    assert_eq!(config.metrics, Some(([127, 0, 0, 1], 9465).into()));
    assert_eq!(config.log.nflog.as_deref(), Some(Path::new("/etc/tidegate/copies.pcapng")));
    assert_eq!((config.log.format, config.log.nflog_limit), (LogFormat::Json, 1000));
    assert_eq!(config.state.as_deref(), Some(Path::new("/etc/tidegate/flows")));
    let world = config.fixed.unwrap();
    assert_eq!((world.links.len(), world.routes.len(), world.neighbours.len()), (1, 1, 1));
}

#[test]
fn faults_name_line_and_field() {
    // What is wrong, the text, and what is said of it.
    let rows: [(&str, &str, &[&str]); 13] = [
        (
            "an unknown key",
            "workers = 1\nworker = 2\n",
            &["gateway.toml:2: unknown field `worker`"],
        ),
        ("no TOML", "workers = \n", &["gateway.toml:1: "]),
        ("no number", "\nworkers = \"two\"\n", &["gateway.toml:2: invalid type"]),
        ("more than is served", "workers = 257\n", &["gateway.toml:1: workers: more than 256"]),
        (
            "a capture has one reader",
            "workers = 2\n[[interface]]\nname = \"a\"\nplane = \"pcap\"\nread = \"/dev/null\"\n[[world.link]]\nname = \"a\"\n",
            &["gateway.toml:3: interface.plane: a capture is served by one"],
        ),
        (
            "what only another plane does",
            "[[interface]]\nname = \"a\"\nqueues = 2\nchecksum = \"metadata\"\n",
            &[
                "gateway.toml:3: interface.queues: each worker serves one: as many as `workers', 1",
                "gateway.toml:4: interface.checksum: only",
            ],
        ),
        ("nobody to do it", "workers = 0\n", &["gateway.toml:1: workers: must not be 0"]),
        (
            "a file that isn't there",
            "\n\nrules4 = \"rules.v4\"\n",
            &["gateway.toml:3: rules4: /etc/tidegate/rules.v4: No such file"],
        ),
        (
            "two faults are told both",
            "[control]\nmode = \"999\"\ngroup = \"no-such-group\"\n",
            &["gateway.toml:2: control.mode: ", "gateway.toml:3: control.group: there is no group"],
        ),
        (
            "one interface twice",
            "[[interface]]\nname = \"a\"\n[[interface]]\nname = \"a\"\n",
            &["gateway.toml:4: interface.name: there are two `a'"],
        ),
        (
            "a plane that there isn't",
            "plane = \"dpdk\"\n",
            &["gateway.toml:1: unknown variant `dpdk`"],
        ),
        (
            "what nobody does",
            "[[interface]]\nname = \"a\"\nplane = \"af-xdp\"\nchecksum = \"recompute\"\n",
            &["gateway.toml:4: unknown variant `recompute`, expected `trust` or `metadata`"],
        ),
        (
            "a world that contradicts itself",
            "[[world.route]]\nto = \"::/0\"\nport = \"wan\"\n",
            &["gateway.toml:1: world: there is no link `wan'"],
        ),
    ];
    assert_told(&rows);
}

/// As with `--workers`.
#[test]
fn a_file_is_checked_for_the_workers_that_there_will_be() {
    let queues = "workers = 2\n[[interface]]\nname = \"a\"\nqueues = 2\n";
    assert!(parse_for(queues, Some(2)).is_ok());
    let faults = parse_for(queues, Some(4)).unwrap_err();
    assert!(faults[0].contains("gateway.toml:4: interface.queues: "), "{faults:?}");
    assert!(faults[0].ends_with("`workers', 4"), "{faults:?}");
    let queues = "[[interface]]\nname = \"a\"\nqueues = 4\n";
    assert!(parse_for(queues, None).is_err());
    assert_eq!(parse_for(queues, Some(4)).unwrap().workers, 4);
    let capture = "[[interface]]\nname = \"a\"\nplane = \"pcap\"\nread = \"/dev/null\"\n[[world.link]]\nname = \"a\"\n";
    assert!(parse_for(capture, None).is_ok());
    let faults = parse_for(capture, Some(2)).unwrap_err();
    assert!(faults[0].contains("interface.plane: a capture is served by one"), "{faults:?}");
}

#[test]
fn captures_are_for_one_plane() {
    let rows: [(&str, &str, &[&str]); 4] = [
        (
            "a capture that would be gone before it is read",
            "[[interface]]\nname = \"a\"\nplane = \"pcap\"\nread = \"/dev/null\"\nwrite = \"/dev/../dev/null\"\n\
             [[world.link]]\nname = \"a\"\naddresses = []\n",
            &["gateway.toml:2: interface.write: the capture that is read would be begun anew"],
        ),
        (
            "captures for a wire",
            "[[interface]]\nname = \"a\"\nwrite = \"b\"\n",
            &["gateway.toml:2: interface.read, write, pace: only for the plane pcap"],
        ),
        (
            "a wire of nothing",
            "[[interface]]\nname = \"a\"\nplane = \"pcap\"\n[[world.link]]\nname = \"a\"\naddresses = []\n",
            &["gateway.toml:2: interface.read: nothing to read"],
        ),
        (
            "an interface that nobody knows",
            "[[interface]]\nname = \"a\"\nplane = \"pcap\"\nwrite = \"b\"\n",
            &["gateway.toml:1: world.link: `a' of the plane pcap is missing"],
        ),
    ];
    assert_told(&rows);
}

/// What is wrong, the text, and what is said of it.
fn assert_told(rows: &[(&str, &str, &[&str])]) {
    for (what, text, told) in rows {
        let faults = parse(text).unwrap_err();
        assert_eq!(faults.len(), told.len(), "{what}: {faults:?}");
        for (fault, told) in faults.iter().zip(*told) {
            assert!(fault.contains(told), "{what}: {fault}");
        }
    }
}

#[test]
fn groups_have_numbers() {
    let text = "root:x:0:\nadm:x:4:syslog\nbroken\n";
    assert_eq!(group_number(text, "adm"), Some(4));
    assert_eq!(group_number(text, "ad"), None);
    assert_eq!(group_number(text, "broken"), None);
}

#[test]
fn a_plane_has_a_name() {
    for plane in [Plane::Auto, Plane::AfPacket, Plane::AfXdp, Plane::Tun, Plane::Pcap] {
        assert_eq!(Plane::named(plane.name()), Ok(plane));
    }
    assert!(Plane::named("dpdk").unwrap_err().contains("af-packet"));
}
