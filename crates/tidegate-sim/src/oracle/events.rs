//! Compares the texts of events and of LOG lines.
//!
//! An event reads `[NEW] ipv4 udp 17 t=30 src=…`: words with single spaces between them. The
//! time-out may differ by the tolerance, and ports are free where the scenario says so.

use super::vary::Vary;

/// Keys whose numbers are ports or ICMP identifiers.
const PORT_KEYS: [&str; 5] = ["sport", "dport", "id", "pport", "mport"];

/// Which word of an event is the time-out.
const TIMEOUT_AT: usize = 4;

/// Whether two event texts say the same.
pub(super) fn same_event(expected: &str, got: &str, vary: &Vary) -> bool {
    let (expected, got) = (words(expected), words(got));
    expected.len() == got.len()
        && expected.iter().zip(&got).all(|(expected, got)| same_word(expected, got, vary))
}

/// The words of an event. A time-out of less than a second is not told; it counts as zero.
fn words(event: &str) -> Vec<&str> {
    let mut words: Vec<&str> = event.split(' ').collect();
    if words.get(TIMEOUT_AT).is_some_and(|word| timeout(word).is_none()) {
        words.insert(TIMEOUT_AT, "t=0");
    }
    words
}

fn same_word(expected: &str, got: &str, vary: &Vary) -> bool {
    if let (Some(expected), Some(got)) = (timeout(expected), timeout(got)) {
        return vary.same_timeout(expected, got);
    }
    plain_word(expected, vary) == plain_word(got, vary)
}

fn timeout(word: &str) -> Option<u64> {
    word.strip_prefix("t=")?.parse().ok()
}

/// The word without what may differ.
fn plain_word<'a>(word: &'a str, vary: &Vary) -> &'a str {
    match word.split_once('=') {
        Some(("t", seconds)) if seconds.parse::<u64>().is_ok() => "t",
        Some((key, port))
            if vary.has_free_ports() && PORT_KEYS.contains(&key) && port.parse::<u64>().is_ok() =>
        {
            key
        }
        _ => word,
    }
}

/// A key that sorts event texts so that equal ones of two sets meet.
pub(super) fn sort_key(event: &str, vary: &Vary) -> (String, String) {
    let plain: Vec<&str> = words(event).into_iter().map(|word| plain_word(word, vary)).collect();
    (plain.join(" "), event.to_owned())
}

/// A LOG line without the IP identification of packets that the router made (`IN=` is empty):
/// that number is arbitrary.
pub(super) fn without_own_id(line: &str) -> String {
    let Some(start) = line.find("IN= OUT=") else { return line.to_owned() };
    let (prefix, packet) = line.split_at(start);
    let mut fields: Vec<&str> = packet.split(' ').collect();
    if let Some(id) = fields.iter_mut().find(|field| field.starts_with("ID=")) {
        *id = "ID=*";
    }
    prefix.to_owned() + &fields.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RECORDED: &str = "[NEW] ipv4 udp 17 t=30 src=10.0.1.2 sport=40000 id=7";

    #[test]
    fn timeouts_may_differ_by_one_second() {
        let vary = Vary::new(&json!(null));
        for (seconds, is_same) in [("29", true), ("31", true), ("28", false), ("x", false)] {
            let got = RECORDED.replace("t=30", &format!("t={seconds}"));
            assert_eq!(same_event(RECORDED, &got, &vary), is_same, "{got}");
        }
        let without = RECORDED.replace("t=30 ", "");
        assert!(!same_event(RECORDED, &without, &vary));
        let last_second = RECORDED.replace("t=30", "t=1");
        assert!(same_event(&last_second, &without, &vary));
    }

    #[test]
    fn ports_are_free_only_in_scenarios_that_say_so() {
        let got = RECORDED.replace("40000", "40001").replace("id=7", "id=8");
        let other = RECORDED.replace("10.0.1.2", "10.0.1.3");
        let bound = Vary::new(&json!(null));
        let free = Vary::new(&json!({"nat_ports": [{"addr": "203.0.113.1"}]}));
        assert!(!same_event(RECORDED, &got, &bound));
        assert!(same_event(RECORDED, &got, &free));
        assert!(!same_event(RECORDED, &other, &free));
    }

    #[test]
    fn sorting_does_not_look_at_timeouts_first() {
        let vary = Vary::new(&json!(null));
        let (early, late) = ("[DESTROY] t=9 src=b", "[DESTROY] t=10 src=a");
        assert!(sort_key(late, &vary) < sort_key(early, &vary));
    }

    #[test]
    fn ip_id_of_own_packets_is_left_out_of_log_lines() {
        let own = "out: IN= OUT=in0 SRC=10.0.1.1 ID=3272 PROTO=ICMP ID=2 SEQ=2";
        let plain = "out: IN= OUT=in0 SRC=10.0.1.1 ID=* PROTO=ICMP ID=2 SEQ=2";
        assert_eq!(without_own_id(own), plain);
        let forwarded = "IN=in0 OUT=out0 SRC=10.0.1.2 ID=5 PROTO=UDP";
        assert_eq!(without_own_id(forwarded), forwarded);
    }
}
