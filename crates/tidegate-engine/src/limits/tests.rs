//! Settings by name against what a 6.18 kernel answered to the same writes.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::ops::RangeInclusive;

use super::*;

const GENERIC: &str = "net.netfilter.nf_conntrack_generic_timeout";

/// `net.netfilter.nf_conntrack_<rest>`.
fn ct(rest: &str) -> String {
    format!("net.netfilter.nf_conntrack_{rest}")
}

fn written(key: &str, value: &str) -> Result<String, SysctlError> {
    let mut limits = Limits::default();
    limits.set(key, value)?;
    Ok(limits.value(key).expect("a setting that can be written can be read"))
}

fn allowed(key: &str, value: &str) -> RangeInclusive<i128> {
    match written(key, value) {
        Err(SysctlError::OutOfRange { allowed, .. }) => allowed,
        other => panic!("{key} = {value}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_those_of_the_kernel() {
    let limits = Limits::default();
    #[rustfmt::skip]
    let rows = [
        ("net.ipv4.ipfrag_high_thresh", "4194304"), ("net.ipv4.ipfrag_low_thresh", "3145728"),
        ("net.ipv4.ipfrag_max_dist", "64"), ("net.ipv4.ipfrag_time", "30"),
        (&ct("acct"), "0"), (&ct("buckets"), "262144"), (&ct("checksum"), "1"),
        (&ct("events"), "2"), (&ct("expect_max"), "4096"), (&ct("frag6_high_thresh"), "4194304"),
        (&ct("frag6_low_thresh"), "3145728"), (&ct("frag6_timeout"), "60"),
        (&ct("generic_timeout"), "600"), (&ct("gre_timeout"), "30"),
        (&ct("gre_timeout_stream"), "180"),
        (&ct("icmp_timeout"), "30"), (&ct("icmpv6_timeout"), "30"), (&ct("log_invalid"), "0"),
        (&ct("max"), "262144"),
        (&ct("sctp_timeout_closed"), "10"), (&ct("sctp_timeout_cookie_echoed"), "3"),
        (&ct("sctp_timeout_cookie_wait"), "3"), (&ct("sctp_timeout_established"), "210"),
        (&ct("sctp_timeout_heartbeat_sent"), "30"), (&ct("sctp_timeout_shutdown_ack_sent"), "3"),
        (&ct("sctp_timeout_shutdown_recd"), "3"), (&ct("sctp_timeout_shutdown_sent"), "3"),
        (&ct("tcp_be_liberal"), "0"), (&ct("tcp_ignore_invalid_rst"), "0"), (&ct("tcp_loose"), "1"),
        (&ct("tcp_max_retrans"), "3"),
        (&ct("tcp_timeout_close"), "10"), (&ct("tcp_timeout_close_wait"), "60"),
        (&ct("tcp_timeout_established"), "432000"), (&ct("tcp_timeout_fin_wait"), "120"),
        (&ct("tcp_timeout_last_ack"), "30"), (&ct("tcp_timeout_max_retrans"), "300"),
        (&ct("tcp_timeout_syn_recv"), "60"), (&ct("tcp_timeout_syn_sent"), "120"),
        (&ct("tcp_timeout_time_wait"), "120"), (&ct("tcp_timeout_unacknowledged"), "300"),
        (&ct("timestamp"), "0"), (&ct("udp_timeout"), "30"), (&ct("udp_timeout_stream"), "120"),
        ("net.nf_conntrack_max", "262144"),
        ("nf_conntrack_amanda.master_timeout", "300"), ("nf_conntrack_ftp.loose", "0"),
        ("nf_conntrack_h323.callforward_filter", "1"), ("nf_conntrack_h323.default_rrq_ttl", "300"),
        ("nf_conntrack_h323.gkrouted_only", "1"), ("nf_conntrack_irc.dcc_timeout", "300"),
        ("nf_conntrack_irc.max_dcc_channels", "8"), ("nf_conntrack_netbios_ns.timeout", "3"),
        ("nf_conntrack_sip.sip_direct_media", "1"), ("nf_conntrack_sip.sip_direct_signalling", "1"),
        ("nf_conntrack_sip.sip_timeout", "3600"), ("nf_conntrack_snmp.timeout", "30"),
        ("tidegate.frag_source_percent", "25"),
    ];
    let served: Vec<_> = Limits::names().map(|name| (name, limits.value(name))).collect();
    let expected: Vec<_> =
        rows.iter().map(|(name, value)| (*name, Some((*value).to_string()))).collect();
    assert_eq!(served, expected);
}

#[test]
fn names_are_sorted_and_distinct() {
    let names: Vec<_> = Limits::names().collect();
    assert!(names.is_sorted_by(|a, b| a < b));
}

#[test]
fn every_name_writes_a_field_of_its_own() {
    let alias = [ct("max"), "net.nf_conntrack_max".to_string()];
    for name in Limits::names() {
        let mut limits = Limits::default();
        let old = limits.value(name).expect("served");
        let new = if old == "1" { "0" } else { "1" };
        let new = match name.rsplit('_').next() {
            Some("thresh") if name.contains("high") => "4194305",
            Some("buckets") => "1024",
            _ => new,
        };
        let outcome = limits.set(name, new);
        assert_eq!(outcome, Ok(Outcome::Stored), "{name}");
        for other in Limits::names() {
            let changed = limits.value(other) != Limits::default().value(other);
            let meant = other == name
                || alias.contains(&name.to_string()) && alias.contains(&other.to_string());
            assert_eq!(changed, meant, "writing {name} and reading {other}");
        }
        assert_eq!(limits.value(name).as_deref(), Some(new), "{name}");
    }
}

#[test]
fn fields_are_reached_under_their_names() {
    let mut limits = Limits::default();
    for (key, value) in [
        ("tcp_timeout_established", "7200"),
        ("tcp_loose", "0"),
        ("udp_timeout_stream", "180"),
        ("sctp_timeout_shutdown_recd", "4"),
        ("frag6_timeout", "5"),
        ("events", "1"),
    ] {
        assert_eq!(limits.set(&ct(key), value), Ok(Outcome::Stored), "{key}");
    }
    assert_eq!(limits.timeouts.tcp.established.as_duration(), Duration::from_secs(7200));
    assert!(!limits.tcp.loose);
    assert_eq!(limits.timeouts.udp_stream, Timeout(180));
    assert_eq!(limits.timeouts.sctp.shutdown_recd, Timeout(4));
    assert_eq!(limits.frag6_timeout, Timeout(5));
    assert_eq!(limits.events, 1);
}

#[test]
fn numbers_are_read_as_the_kernel_reads_them() {
    for (text, number) in [
        ("5", "5"),
        (" 7", "7"),
        ("8 ", "8"),
        ("8\n", "8"),
        ("0", "0"),
        ("0x10", "16"),
        ("0X1F", "31"),
        ("010", "8"),
        ("5 6", "5"),
        ("5 # five", "5"),
        ("-5", "0"),
        ("-0x7f", "0"),
        ("2147483647", "2147483647"),
        ("-2147483648", "0"),
    ] {
        assert_eq!(written(GENERIC, text).as_deref(), Ok(number), "{text:?}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "", " ", "\n", "+5", "--5", "-+5", "-", "9abc", "5#", "09", "0x", "0x+1", "5.5", "1K",
        "yes",
    ] {
        let refused = SysctlError::NotANumber { key: GENERIC.into(), value: text.trim().into() };
        assert_eq!(written(GENERIC, text), Err(refused), "{text:?}");
    }
    let beyond = "99999999999999999999999";
    assert!(matches!(written(GENERIC, beyond), Err(SysctlError::NotANumber { .. })));
}

/// A parameter was a signed number here once: -1 was stored as 0, and 2^31 refused.
#[test]
fn parameters_of_modules_are_read_as_modules_read_them() {
    let out_of_range = |key: &str, value, allowed| {
        Err(SysctlError::OutOfRange { key: key.to_string(), value, allowed })
    };
    let timeouts = [
        "nf_conntrack_amanda.master_timeout",
        "nf_conntrack_h323.default_rrq_ttl",
        "nf_conntrack_irc.dcc_timeout",
        "nf_conntrack_netbios_ns.timeout",
        "nf_conntrack_sip.sip_timeout",
        "nf_conntrack_snmp.timeout",
    ];
    let all = 0..=i128::from(u32::MAX);
    for key in timeouts {
        for (text, number) in
            [("0", "0"), ("2147483648", "2147483648"), ("0xffffffff", "4294967295")]
        {
            assert_eq!(written(key, text).as_deref(), Ok(number), "{key} = {text}");
        }
        assert_eq!(written(key, "-1"), out_of_range(key, -1, all.clone()), "{key}");
        assert_eq!(written(key, "4294967296"), out_of_range(key, 1 << 32, all.clone()), "{key}");
    }
    for key in ["nf_conntrack_ftp.loose", "nf_conntrack_h323.callforward_filter"] {
        for (text, number) in
            [("0", "0"), ("1", "1"), ("N\n", "0"), ("Y", "1"), ("n", "0"), ("y", "1")]
        {
            assert_eq!(written(key, text).as_deref(), Ok(number), "{key} = {text}");
        }
        assert!(written(key, "Yes").is_err());
        assert_eq!(written(key, "2"), out_of_range(key, 2, 0..=1), "{key}");
    }
    assert!(written(&ct("tcp_loose"), "Y").is_err(), "no parameter of a module");
}

#[test]
fn each_kind_has_the_range_of_the_kernel() {
    let int_max = i128::from(i32::MAX);
    for (rest, value, range) in [
        ("checksum", "2", 0..=1),
        ("acct", "-1", 0..=1),
        ("tcp_loose", "256", 0..=1),
        ("log_invalid", "256", 0..=255),
        ("tcp_max_retrans", "-1", 0..=255),
        ("events", "3", 0..=2),
        ("max", "-1", 0..=int_max),
        ("max", "2147483648", 0..=int_max),
        ("expect_max", "0", 1..=int_max),
        ("buckets", "0", 1..=268_434_944),
        ("buckets", "268434945", 1..=268_434_944),
        ("udp_timeout", "2147483648", i128::from(i32::MIN)..=int_max),
        ("frag6_low_thresh", "-1", 0..=4 << 20),
        ("frag6_low_thresh", "4194305", 0..=4 << 20),
        ("frag6_high_thresh", "3145727", 3 << 20..=i128::from(u64::MAX)),
    ] {
        assert_eq!(allowed(&ct(rest), value), range, "{rest} = {value}");
    }
    assert_eq!(allowed("net.ipv4.ipfrag_max_dist", "-1"), 0..=int_max);
    assert_eq!(allowed("net.ipv4.ipfrag_high_thresh", "1"), 3 << 20..=i128::from(u64::MAX));
}

#[test]
fn the_edges_of_the_ranges_are_accepted() {
    for (rest, value) in [
        ("log_invalid", "255"),
        ("events", "0"),
        ("max", "0"),
        ("max", "2147483647"),
        ("expect_max", "1"),
        ("buckets", "268434944"),
        ("frag6_low_thresh", "4194304"),
        ("frag6_high_thresh", "18446744073709551615"),
    ] {
        assert_eq!(written(&ct(rest), value).as_deref(), Ok(value), "{rest}");
    }
}

#[test]
fn buckets_round_up_to_a_page_and_max_does_not_follow() {
    let mut limits = Limits::default();
    assert_eq!(limits.set(&ct("buckets"), "262145"), Ok(Outcome::Stored));
    assert_eq!((limits.buckets, limits.max), (262_656, 262_144));
    assert_eq!(written(&ct("buckets"), "1").as_deref(), Ok("512"));
}

#[test]
fn a_refused_write_changes_nothing() {
    let mut limits = Limits::default();
    for (key, value) in [(ct("checksum"), "2"), (ct("nonsense"), "1"), (ct("count"), "1")] {
        assert!(limits.set(&key, value).is_err(), "{key}");
    }
    assert_eq!(limits, Limits::default());
}

#[test]
fn a_name_may_have_slashes() {
    let mut limits = Limits::default();
    assert_eq!(limits.set("net/netfilter/nf_conntrack_max", "9"), Ok(Outcome::Stored));
    assert_eq!(limits.value("net/nf_conntrack_max").as_deref(), Some("9"));
    assert_eq!(limits.set("net/ipv4/conf/eth0.1/rp_filter", "1"), Ok(Outcome::NotOurs));
}

#[test]
fn names_that_are_no_settings_say_what_they_are() {
    let mut limits = Limits::default();
    let mut set = |key: &str| limits.set(key, "1");
    for rest in ["nf_flowtable_tcp_timeout", "nf_hooks_lwtunnel", "nf_log_all_netns", "nf_log.2"] {
        assert_eq!(set(&format!("net.netfilter.{rest}")), Ok(Outcome::NotServed), "{rest}");
    }
    for key in ["nf_conntrack_sip.sip_external_media", "nf_conntrack_ftp.ports"] {
        assert_eq!(set(key), Ok(Outcome::NotServed), "{key}");
    }
    let unknown = SysctlError::Unknown { key: "nf_conntrack_ftp.lose".into() };
    assert_eq!(set("nf_conntrack_ftp.lose"), Err(unknown));
    for key in
        ["net.ipv4.ip_forward", "net.core.rmem_max", "kernel.panic", "vm.swappiness", "fs.file-max"]
    {
        assert_eq!(set(key), Ok(Outcome::NotOurs), "{key}");
    }
    let unknown = |key: &str| Err(SysctlError::Unknown { key: key.to_string() });
    for key in [
        "net.netfilter.nf_conntrack_tcp_timeout",
        "net.netfilter.",
        "nf_conntrack_max",
        "foo.bar",
        "net.",
    ] {
        assert_eq!(set(key), unknown(key), "{key}");
    }
    assert_eq!(set(&ct("count")), Err(SysctlError::ReadOnly { key: ct("count") }));
    for rest in ["helper", "dccp_timeout_open", "dccp_loose", "events_retry_timeout"] {
        let removed = set(&ct(rest)).expect_err("gone");
        assert!(removed.to_string().starts_with(&format!("{}: removed ", ct(rest))), "{removed}");
    }
}

#[test]
fn a_file_is_applied_in_its_order() {
    let text = "\
# a router
; another comment

net.netfilter.nf_conntrack_max = 1000
  net.netfilter.nf_conntrack_acct=1\r
net/netfilter/nf_conntrack_tcp_timeout_established =\t3600
net.netfilter.nf_conntrack_max=2000
net.ipv4.ipfrag_high_thresh = 100000000
net.ipv4.ipfrag_low_thresh = 90000000
";
    let mut limits = Limits::default();
    assert_eq!(parse_file("sysctl.conf", text, &mut limits), Report::default());
    assert_eq!((limits.max, limits.acct), (2000, true));
    assert_eq!(limits.timeouts.tcp.established, Timeout(3600));
    assert_eq!(limits.ipfrag_low_thresh, 90_000_000);
}

#[test]
fn a_file_with_an_error_changes_nothing_and_names_every_line() {
    let text = "\
net.netfilter.nf_conntrack_max = 1000
net.netfilter.nf_conntrack_checksum = 2
net.netfilter.nf_conntrack_udp_timout = 20
just words
net.netfilter.nf_conntrack_helper = 1
net.ipv4.ip_forward = 1
";
    let mut limits = Limits::default();
    let report = parse_file("a.conf", text, &mut limits);
    assert_eq!(limits, Limits::default());
    let messages = |list: &[Finding]| list.iter().map(Finding::to_string).collect::<Vec<_>>();
    assert_eq!(
        messages(&report.errors),
        [
            "a.conf:2: net.netfilter.nf_conntrack_checksum: 2 is not within 0 to 1",
            "a.conf:3: net.netfilter.nf_conntrack_udp_timout: no such setting",
            "a.conf:4: not of the form key = value: just words",
            "a.conf:5: net.netfilter.nf_conntrack_helper: removed in Linux 6.0: \
             no helper is assigned by port, attach it with -j CT --helper",
        ]
    );
    assert_eq!(
        messages(&report.warnings),
        ["a.conf:6: net.ipv4.ip_forward: not a setting of connection tracking, no effect"]
    );
}

#[test]
fn a_dash_turns_errors_into_warnings() {
    let text =
        "-net.netfilter.nf_conntrack_helper = 1\n-net.netfilter.nf_conntrack_max = 7\n- kernel.x\n";
    let mut limits = Limits::default();
    let report = parse_file("b.conf", text, &mut limits);
    assert_eq!(report.errors, []);
    let lines: Vec<_> = report.warnings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, vec![1, 3]);
    assert!(report.warnings.iter().all(|finding| matches!(finding.cause, Cause::Ignored(_))));
    assert_eq!(limits.max, 7);
}

#[test]
fn warnings_do_not_keep_a_file_from_being_applied() {
    let text = "\
net.netfilter.nf_flowtable_udp_timeout = 40
net.netfilter.nf_conntrack_max = 7
vm.swappiness = 1
";
    let mut limits = Limits::default();
    let report = parse_file("c.conf", text, &mut limits);
    assert_eq!(report.errors, []);
    let causes: Vec<_> = report.warnings.into_iter().map(|finding| finding.cause).collect();
    let expected = [
        Cause::NotServed { key: "net.netfilter.nf_flowtable_udp_timeout".into() },
        Cause::NotOurs { key: "vm.swappiness".into() },
    ];
    assert_eq!(causes, expected);
    assert_eq!(limits.max, 7);
}

#[test]
fn timeouts_compare_by_length() {
    assert!(Timeout(300) < Timeout(432_000));
    assert_eq!(Timeout(0).as_duration(), Duration::ZERO);
    assert_eq!(TcpTimeouts::SYN_SENT2, Timeouts::default().tcp.syn_sent);
}
