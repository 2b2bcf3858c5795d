//! Text that others chose, on its way to a terminal and a shell of root: names of programs, rules and files.

/// A name to be shown: what a terminal would obey is replaced, and it ends at 64 characters.
pub(crate) fn name(text: &str) -> String {
    shown(text.trim()).chars().take(LONGEST).collect()
}

/// A text to be shown: nothing in it that a terminal would obey, and one line.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect()
}

/// A word of a command as a shell takes it, whatever is in it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words of a line of `iptables-save`, which quotes with `"` and `\`; `None` if a quotation has no end.
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().push(rest.next()?),
            ' ' if !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    (!is_quoted).then_some(words)
}

/// The parts of a command between which it may be folded: at blanks, and never within '...'.
pub(crate) fn parts(command: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    let mut rest = command.char_indices();
    while let Some((index, c)) = rest.next() {
        match c {
            // Outside of quotes it takes the meaning of the next.
            '\\' if !is_quoted => drop(rest.next()),
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => {
                parts.push(&command[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&command[start..]);
    parts
}

/// Characters of a name.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_a_terminal_nothing_to_obey() {
        let forged = "x\u{1b}[2J\nDO NOW\r\u{9b}1m\u{202e}";
        assert_eq!(name(forged), "x?[2J?DO NOW??1m?");
        assert_eq!(name(&"long".repeat(99)).len(), 64);
    }

    #[test]
    fn a_shell_reads_back_each_word_and_runs_none() {
        let rows = [
            ("--comment", "--comment"),
            ("$(reboot)", "'$(reboot)'"),
            ("`id`; ls", "'`id`; ls'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ];
        for (word, expected) in rows {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn the_quotation_of_iptables_is_taken_off() {
        let line = r#"-A POSTROUTING -m comment --comment "a \"b\" $(x)" --to-source 192.0.2.1"#;
        let expected = [
            "-A",
            "POSTROUTING",
            "-m",
            "comment",
            "--comment",
            r#"a "b" $(x)"#,
            "--to-source",
            "192.0.2.1",
        ];
        assert_eq!(words(line).expect("it is whole"), expected);
        assert_eq!(words(r#"-m comment --comment "torn"#), None);
        assert_eq!(words(r#"--log-prefix "" -j X"#).expect("it is whole")[1], "");
    }

    #[test]
    fn a_command_is_folded_between_words() {
        assert_eq!(
            parts("x --comment 'a b' -j 'it'\\''s c' d"),
            ["x", "--comment", "'a b'", "-j", "'it'\\''s c'", "d"]
        );
    }
}
