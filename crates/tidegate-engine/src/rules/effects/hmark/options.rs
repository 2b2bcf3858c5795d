//! The options of `HMARK`, read and written.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Hmark, Ports};
use crate::rules::error::{Expected, Fault, GrammarError};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};
use crate::rules::text::{Parsed, value as values};

pub(super) const OPTIONS: &[OptionSpec] = &[
    value(&["--hmark-tuple"]),
    value(&["--hmark-src-prefix"]),
    value(&["--hmark-dst-prefix"]),
    value(&["--hmark-sport-mask"]),
    value(&["--hmark-dport-mask"]),
    value(&["--hmark-spi-mask"]),
    value(&["--hmark-sport"]),
    value(&["--hmark-dport"]),
    value(&["--hmark-spi"]),
    value(&["--hmark-proto-mask"]),
    value(&["--hmark-rnd"]),
    value(&["--hmark-mod"]),
    value(&["--hmark-offset"]),
];

pub(super) fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Hmark> {
    let width = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    let long = |option| clause.value(option, |word| values::number(word, 0, u32::MAX));
    let short = |option| clause.value(option, |word| Ok(values::number(word, 0, 65_535)? as u16));
    let prefix = |option| clause.value(option, |word| values::number(word, 0, width));
    let mut hmark = Hmark {
        family,
        source: prefix("--hmark-src-prefix")?,
        destination: prefix("--hmark-dst-prefix")?,
        ports: Ports {
            source_mask: short("--hmark-sport-mask")?,
            destination_mask: short("--hmark-dport-mask")?,
            index_mask: long("--hmark-spi-mask")?,
            source: short("--hmark-sport")?,
            destination: short("--hmark-dport")?,
            index: long("--hmark-spi")?,
        },
        proto_mask: short("--hmark-proto-mask")?.unwrap_or(0),
        seed: clause.need("--hmark-rnd", |word| values::number(word, 0, u32::MAX))?.value,
        modulus: clause.need("--hmark-mod", |word| values::number(word, 1, u32::MAX))?.value,
        offset: long("--hmark-offset")?.unwrap_or(0),
        by_flow: false,
    };
    if let Some(given) = clause.find("--hmark-tuple") {
        given.value().split(',').try_for_each(|part| hmark.add(part, width))?;
    }
    hmark.consistent()
}

impl Hmark {
    /// A part of `--hmark-tuple` is short for an option with all bits.
    fn add(&mut self, part: &str, width: u32) -> Parsed<()> {
        match part {
            "src" => self.source = Some(width),
            "dst" => self.destination = Some(width),
            "sport" => self.ports.source_mask = Some(u16::MAX),
            "dport" => self.ports.destination_mask = Some(u16::MAX),
            "spi" => self.ports.index_mask = Some(u32::MAX),
            "proto" => self.proto_mask = u16::MAX,
            "ct" => self.by_flow = true,
            _ => {
                let form = Expected::Form("a list of src, dst, sport, dport, spi, proto, ct");
                return Err(Fault::expected(part, form));
            }
        }
        Ok(())
    }

    fn consistent(self) -> Parsed<Self> {
        let ports = self.ports;
        let masks = ports.source_mask.is_some() || ports.destination_mask.is_some();
        if ports.index_mask.is_some() && masks {
            let conflict =
                GrammarError::Conflict { with: "--hmark-sport-mask, --hmark-dport-mask" };
            return Err(Fault::new("--hmark-spi-mask", conflict));
        }
        if ports.index.is_some() && (ports.source.is_some() || ports.destination.is_some()) {
            let conflict = GrammarError::Conflict { with: "--hmark-sport, --hmark-dport" };
            return Err(Fault::new("--hmark-spi", conflict));
        }
        Ok(self)
    }
}

pub(super) fn write(hmark: &Hmark, f: &mut Formatter<'_>) -> fmt::Result {
    let ports = hmark.ports;
    let prefixes =
        [("--hmark-src-prefix", hmark.source), ("--hmark-dst-prefix", hmark.destination)];
    for (option, length) in prefixes {
        write_some(f, option, length, |f, length| write!(f, "{length}"))?;
    }
    let shorts =
        [("--hmark-sport-mask", ports.source_mask), ("--hmark-dport-mask", ports.destination_mask)];
    for (option, number) in shorts {
        write_some(f, option, number, |f, number| write!(f, "{number:#06x}"))?;
    }
    write_some(f, "--hmark-spi-mask", ports.index_mask, |f, mask| write!(f, "{mask:#010x}"))?;
    for (option, number) in [("--hmark-sport", ports.source), ("--hmark-dport", ports.destination)]
    {
        write_some(f, option, number, |f, number| write!(f, "{number:#06x}"))?;
    }
    write_some(f, "--hmark-spi", ports.index, |f, index| write!(f, "{index:#010x}"))?;
    if hmark.proto_mask != 0 {
        write!(f, " --hmark-proto-mask {:#04x}", hmark.proto_mask)?;
    }
    write!(f, " --hmark-rnd {:#010x} --hmark-mod {}", hmark.seed, hmark.modulus)?;
    if hmark.offset != 0 {
        write!(f, " --hmark-offset {}", hmark.offset)?;
    }
    f.write_str(if hmark.by_flow { " --hmark-tuple ct" } else { "" })
}

fn write_some<T>(
    f: &mut Formatter<'_>,
    option: &str,
    value: Option<T>,
    write: impl Fn(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    write!(f, " {option} ")?;
    write(f, value)
}
