//! What conntrack(8) prints, without what can't be the same twice.

/// Seconds that are told of a flow which had been given so many, not long ago.
const GIVEN: [u64; 3] = [500, 1000, 8_589_934];
/// How long ago at most.
const SLACK: u64 = 400;

/// All that can be compared, in an order of its own.
pub(super) fn comparable(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(line).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines.join("\n")
}

fn line(text: &str) -> String {
    // Rows of CPUs: how many there are, and which one did it, is the machine's business.
    if text.starts_with("cpu=") {
        return String::new();
    }
    let text = without_tags(text);
    let mut words: Vec<String> = Vec::new();
    let mut skips_to_bracket = false;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if skips_to_bracket {
            skips_to_bracket = !word.ends_with(']');
            continue;
        }
        let is_time = ["[start=", "[stop="].iter().any(|start| word.starts_with(start));
        skips_to_bracket = is_time && !word.ends_with(']');
        // Which program a port belongs to is looked up in the machine's table of sockets.
        if !is_time && !word.starts_with("progname=") {
            words.push(timeless(word));
        }
    }
    for at in 0..words.len() {
        let next = words.get(at + 1).map_or("", String::as_str);
        let is_state =
            next.len() > 3 && next.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c == '2');
        let is_before = at > 0 && words[at - 1] == "-t";
        if is_before || is_state || next.starts_with("src=") || next.starts_with("proto=") {
            words[at] = rounded(&words[at]);
        }
    }
    words.join(" ")
}

/// A word whose value is a number of a flow's, or a time.
fn timeless(word: &str) -> String {
    match word.split_once('=') {
        Some(("id", id)) if id.len() > 5 => "id=".to_owned(),
        Some((name @ ("delta-time" | "portid"), _)) => format!("{name}="),
        _ => word.to_owned(),
    }
}

fn rounded(word: &str) -> String {
    let Ok(seconds) = word.parse::<u64>() else { return word.to_owned() };
    let given = GIVEN.into_iter().find(|given| (given - SLACK..=*given).contains(&seconds));
    given.map_or(word.to_owned(), |given| format!("~{given}"))
}

/// XML's elements of the same kind are emptied.
fn without_tags(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ["id", "deltatime", "start", "stop", "timeout"] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        if let Some((before, rest)) = text.split_once(&open)
            && let Some((value, after)) = rest.split_once(&close)
            // An identifier of ICMP is one of few digits.
            && (name != "id" || value.len() > 5)
        {
            text = format!("{before}{open}{close}{after}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_the_same_is_left_out() {
        let rows = [
            (
                "tcp      6 998 ESTABLISHED src=1 delta-time=4 use=1 id=123456",
                "tcp 6 ~1000 ESTABLISHED src=1 delta-time= use=1 id=",
            ),
            ("icmp     1 12 src=1 id=77", "icmp 1 12 src=1 id=77"),
            ("udp 17 449 src=1 [start=Sun Nov 22 17:19:01 2026] use=1", "udp 17 ~500 src=1 use=1"),
            ("-A -t 999 -u ASSURED", "-A -t ~1000 -u ASSURED"),
            (
                "<timeout>9</timeout><id>9</id><id>1234567</id>",
                "<timeout></timeout><id>9</id><id>1234567</id>",
            ),
            ("cpu=0 found=1", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(comparable(text), expected, "{text}");
        }
        assert_eq!(comparable("b\na"), "a\nb");
    }
}
