//! Which lines make a policy, and what it then says.

use alloc::string::ToString;

use super::super::Timeout;
use super::*;

fn policies(text: &str) -> Policies {
    let mut policies = Policies::default();
    policies.add(&Limits::default(), "f", text).unwrap();
    policies
}

#[test]
fn a_policy_says_what_its_line_says_and_leaves_the_rest() {
    let policies = policies(
        "# one\nadd timeout t inet tcp established 100 close 7\nnfct add timeout u inet6 udp replied 9",
    );
    let limits = Limits::default();
    let own = policies.limits(policies.find("t").unwrap(), &limits).unwrap();
    assert_eq!(own.timeouts.tcp.established, Timeout(100));
    assert_eq!(own.timeouts.tcp.close, Timeout(7));
    assert_eq!(own.timeouts.tcp.syn_sent, limits.timeouts.tcp.syn_sent);
    let own = policies.limits(policies.find("u").unwrap(), &limits).unwrap();
    assert_eq!((own.timeouts.udp_stream, own.timeouts.udp), (Timeout(9), limits.timeouts.udp));
}

#[test]
fn a_policy_fits_its_family_and_protocol() {
    let policies = policies("add timeout t inet tcp close 7\nadd timeout g inet generic timeout 5");
    let [tcp, generic] = ["t", "g"].map(|name| policies.find(name).unwrap());
    let rows = [
        (tcp, Family::V4, 6, true),
        (tcp, Family::V6, 6, false),
        (tcp, Family::V4, 17, false),
        (generic, Family::V4, 253, true),
        (generic, Family::V4, 17, false),
    ];
    for (id, family, proto, expected) in rows {
        assert_eq!(policies.fits(id, family, proto), expected, "{id:?} {family:?} {proto}");
    }
}

#[test]
fn bad_lines_are_named() {
    let rows = [
        ("del timeout t", "`del' is not `add timeout'"),
        ("add timeout t inet", "something is missing behind `inet'"),
        ("add timeout t ipx tcp close 7", "`ipx' is not `inet' or `inet6'"),
        ("add timeout t inet dccp request 7", "`dccp' is not a protocol with timeouts"),
        ("add timeout t inet tcp closed 7", "`closed' is not a state and its seconds"),
        ("add timeout t inet tcp close soon", "`close' is not a state and its seconds"),
        ("add timeout t inet tcp close", "something is missing behind `close'"),
        ("add timeout known inet tcp close 7", "there is a timeout policy `known' already"),
    ];
    for (line, expected) in rows {
        let text = alloc::format!("add timeout known inet udp replied 5\n{line}");
        let errors = Policies::default().add(&Limits::default(), "f", &text).unwrap_err();
        assert_eq!(errors[0].to_string(), alloc::format!("f:2: {expected}"));
        assert_eq!(errors.len(), 1, "{line}");
    }
}
