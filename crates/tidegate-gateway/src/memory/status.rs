//! What the operator should know: whether the table is on huge pages, and if not, why.
//!
//! Everything is read when it is asked for, and what the texts mean is a pure function of them.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs;
use std::io;

use super::pages;

/// Which pages are in force. Its [`Display`](fmt::Display) is one line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The system's setting.
    pub mode: Mode,
    /// Bytes in memory for which huge pages were asked for, not counting what was never touched.
    pub resident: u64,
    /// How many of those are on huge pages.
    pub huge: u64,
    /// What the kernel said when it refused to be asked, if it did.
    pub refusal: Option<String>,
}

/// The system's setting of transparent huge pages, as in the kernel's
/// `Documentation/admin-guide/mm/transhuge.rst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For all memory.
    Always,
    /// For memory that asks for it, as ours does.
    Madvise,
    /// For none.
    Never,
    /// The kernel was built without, or hides the setting.
    Unknown,
}

/// Reads which pages are in force.
///
/// The kernel looks at all memory of the process for this, so don't ask for every packet.
#[must_use]
pub fn status() -> Status {
    let enabled = fs::read_to_string(ENABLED).unwrap_or_default();
    let smaps = fs::read_to_string(SMAPS).unwrap_or_default();
    Status::of(&enabled, &smaps, pages::refusal())
}

impl Status {
    /// From the text of `enabled`, that of `smaps`, and the error of the advice.
    fn of(enabled: &str, smaps: &str, refusal: Option<io::Error>) -> Self {
        let (resident, huge) = advised(smaps);
        let refusal = refusal.map(|error| error.to_string());
        Self { mode: Mode::of(enabled), resident, huge, refusal }
    }

    /// Why there can't be a huge page, if so.
    fn obstacle(&self) -> Option<String> {
        if let Some(error) = &self.refusal {
            return Some(format!("the system refused transparent huge pages: {error}"));
        }
        match self.mode {
            Mode::Always | Mode::Madvise => None,
            Mode::Never => {
                Some(format!("transparent huge pages are \"never\" on this system ({ENABLED})"))
            }
            Mode::Unknown => {
                Some(format!("this system has no transparent huge pages ({ENABLED} says nothing)"))
            }
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [huge, resident] = [self.huge, self.resident].map(mebibytes);
        match self.obstacle() {
            Some(why) if self.huge == 0 => write!(f, "memory: 4 KiB pages: {why}"),
            _ if self.resident == 0 => {
                write!(f, "memory: 2 MiB pages for large blocks, of which there is none yet ")?;
                write!(f, "(transparent, {})", self.mode)
            }
            _ => {
                write!(f, "memory: {huge} MiB of the table's {resident} MiB on 2 MiB pages ")?;
                write!(f, "(transparent, {})", self.mode)
            }
        }
    }
}

impl Mode {
    /// The word in brackets.
    fn of(enabled: &str) -> Self {
        let word = enabled.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        match word.map(|(word, _)| word) {
            Some("always") => Self::Always,
            Some("madvise") => Self::Madvise,
            Some("never") => Self::Never,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Madvise => "madvise",
            Self::Never => "never",
            Self::Unknown => "unknown",
        })
    }
}

/// Bytes that are resident, and that are on huge pages, of the mappings whose flags (their last line
/// in `smaps`) have `hg`: those that were advised.
fn advised(smaps: &str) -> (u64, u64) {
    let (mut resident, mut huge) = (0, 0);
    let (mut here, mut huge_here) = (0, 0);
    for line in smaps.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key {
            "Rss" => here = bytes(value),
            "AnonHugePages" => huge_here = bytes(value),
            "VmFlags" => {
                if value.split_whitespace().any(|flag| flag == "hg") {
                    resident += here;
                    huge += huge_here;
                }
                (here, huge_here) = (0, 0);
            }
            _ => {}
        }
    }
    (resident, huge)
}

/// From ` 2048 kB`; 0 from anything else.
fn bytes(value: &str) -> u64 {
    let number = value.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
    number.map_or(0, |kibibytes| kibibytes.saturating_mul(1024))
}

/// Whole MiB with the thousands apart: `1,234`.
fn mebibytes(bytes: u64) -> String {
    let digits = (bytes >> 20).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SMAPS: &str = "/proc/self/smaps";

#[cfg(test)]
mod tests {
    use super::*;

    /// Three mappings, of which the second and the third were advised.
    const SMAPS_TEXT: &str = "\
55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]
Size:               4096 kB
Rss:                4096 kB
AnonHugePages:      2048 kB
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f0060000000 rw-p 00000000 00:00 0
Size:            1572864 kB
Rss:             1310720 kB
AnonHugePages:   1263616 kB
THPeligible:           1
VmFlags: rd wr mr mw me ac sd hg
7f0080000000-7f0080200000 rw-p 00000000 00:00 0
Rss:               20480 kB
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me hg sd
";

    const UNTOUCHED: &str = "Rss: 0 kB\nAnonHugePages: 0 kB\nVmFlags: rd hg\n";
    const SMALL: &str = "Rss: 8192 kB\nAnonHugePages: 0 kB\nVmFlags: rd hg\n";

    /// Each row: the setting, `smaps`, an error of the advice, the line.
    #[test]
    fn the_operator_gets_one_line() {
        let rows = [
            (
                "always [madvise] never\n",
                SMAPS_TEXT,
                None,
                "memory: 1,234 MiB of the table's 1,300 MiB on 2 MiB pages (transparent, madvise)",
            ),
            (
                "[always] madvise never\n",
                SMALL,
                None,
                "memory: 0 MiB of the table's 8 MiB on 2 MiB pages (transparent, always)",
            ),
            (
                "always [madvise] never\n",
                UNTOUCHED,
                None,
                "memory: 2 MiB pages for large blocks, of which there is none yet (transparent, madvise)",
            ),
            (
                "always madvise [never]\n",
                SMALL,
                None,
                "memory: 4 KiB pages: transparent huge pages are \"never\" on this system \
                 (/sys/kernel/mm/transparent_hugepage/enabled)",
            ),
            (
                "always madvise [never]\n",
                SMAPS_TEXT,
                None,
                "memory: 1,234 MiB of the table's 1,300 MiB on 2 MiB pages (transparent, never)",
            ),
            (
                "",
                SMALL,
                None,
                "memory: 4 KiB pages: this system has no transparent huge pages \
                 (/sys/kernel/mm/transparent_hugepage/enabled says nothing)",
            ),
            (
                "always [madvise] never\n",
                "",
                Some(22),
                "memory: 4 KiB pages: the system refused transparent huge pages: \
                 Invalid argument (os error 22)",
            ),
        ];
        for (enabled, smaps, errno, expected) in rows {
            let refusal = errno.map(io::Error::from_raw_os_error);
            assert_eq!(Status::of(enabled, smaps, refusal).to_string(), expected);
        }
    }

    #[test]
    fn what_was_not_advised_is_not_counted() {
        assert_eq!(advised(SMAPS_TEXT), (1_363_148_800, 1_293_942_784));
    }

    #[test]
    fn nonsense_counts_for_nothing() {
        assert_eq!(advised("Rss: many kB\nAnonHugePages:\nVmFlags: hg\nVmFlags\n:::"), (0, 0));
    }

    #[test]
    fn thousands_stand_apart() {
        let rows = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, expected) in rows {
            assert_eq!(mebibytes(number << 20), expected);
        }
    }
}
