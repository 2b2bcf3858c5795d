//! Where the express path of what is fresh must leave a packet to the walk.

use super::*;
use crate::rules::parse;

/// A connection that was picked up midway is new as long as nobody answers, without being a SYN.
#[test]
fn a_new_segment_need_not_be_a_syn() {
    let segment = |number| tcp(Host::Client, TcpFlags::ACK, number, 1).data(9);
    for family in Family::ALL {
        let mut engine = engine(limits());
        let first = receive(&mut engine, at(1), family, &segment(1000));
        assert_eq!(first.conntrack, Some(CtInfo::New));
        let rule = "-A FORWARD -p tcp -m tcp ! --syn -m state --state NEW -j DROP";
        let rules = alloc::format!("*filter\n{rule}\nCOMMIT\n");
        engine.replace_rules(&parse(family, "rules", &rules).unwrap());
        let second = receive(&mut engine, at(2), family, &segment(1009));
        assert_eq!(second.conntrack, Some(CtInfo::New));
        assert!(matches!(second.verdict, Verdict::Drop(_)), "{family:?}: {second:?}");
    }
}
