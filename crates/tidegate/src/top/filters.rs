//! The filters that are set by keys, each for itself.

use crate::filter::{Expression, Filter, Ports, Prefix, Spot, Test};

/// Which filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Source port.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// An expression.
    Expression,
}

impl Which {
    /// What is asked for.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::SourcePort => "source port",
            Self::DestinationPort => "destination port",
            Self::Expression => "filter",
        }
    }
}

/// Filters, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    /// Source address or network.
    pub(crate) source: Option<Prefix>,
    /// Destination address or network.
    pub(crate) destination: Option<Prefix>,
    /// Source ports.
    pub(crate) source_port: Option<Ports>,
    /// Destination ports.
    pub(crate) destination_port: Option<Ports>,
    /// An expression, and what was typed.
    pub(crate) expression: Option<(String, Expression)>,
    /// What the machine says to itself is left out.
    pub(crate) no_loopback: bool,
    /// What was typed of each, for the screen.
    texts: [String; 4],
}

impl Filters {
    /// Sets a filter to what was typed; nothing clears it.
    ///
    /// # Errors
    /// It can't be understood.
    pub(crate) fn set(&mut self, which: Which, text: &str) -> Result<(), String> {
        let text = text.trim();
        match which {
            Which::Source => self.source = read(text)?,
            Which::Destination => self.destination = read(text)?,
            Which::SourcePort => self.source_port = read(text)?,
            Which::DestinationPort => self.destination_port = read(text)?,
            Which::Expression => {
                let expression = read::<Expression>(text)?;
                self.expression = expression.map(|expression| (text.to_owned(), expression));
            }
        }
        if which != Which::Expression {
            self.texts[which as usize] = text.to_owned();
        }
        Ok(())
    }

    /// What was typed of a filter.
    pub(crate) fn text(&self, which: Which) -> &str {
        match which {
            Which::Expression => self.expression.as_ref().map_or("", |(text, _)| text),
            _ => &self.texts[which as usize],
        }
    }

    /// All of them in words; empty if there is none.
    pub(crate) fn summary(&self) -> String {
        let all = [
            Which::Source,
            Which::Destination,
            Which::SourcePort,
            Which::DestinationPort,
            Which::Expression,
        ];
        let set = all.into_iter().filter(|which| !self.text(*which).is_empty());
        let mut words: Vec<String> =
            set.map(|which| format!("{} {}", which.title(), self.text(which))).collect();
        words.extend(self.no_loopback.then(|| "no loopback".to_owned()));
        words.join(", ")
    }

    /// The filter that they are together with one that is always there.
    pub(crate) fn filter(&self, base: &[Test]) -> Filter {
        let mut tests = base.to_vec();
        let addresses = [(Spot::Source(0), self.source), (Spot::Destination(0), self.destination)];
        for (spot, prefix) in addresses {
            tests.extend(prefix.map(|prefix| Test::Address(spot, prefix)));
        }
        let ports =
            [(Spot::Source(0), self.source_port), (Spot::Destination(0), self.destination_port)];
        for (spot, range) in ports {
            tests.extend(range.map(|range| Test::Port(spot, range)));
        }
        let typed = self.expression.iter().map(|(_, expression)| expression.clone());
        let loopback = self.no_loopback.then(no_loopback).flatten();
        tests.extend(typed.chain(loopback).flat_map(Expression::into_tests));
        Filter::new(tests)
    }
}

fn read<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|why: T::Err| why.to_string())
}

fn no_loopback() -> Option<Expression> {
    "not ( src 127/8 or dst 127/8 or src ::1 or dst ::1 )".parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_set_told_and_cleared() {
        let mut filters = Filters::default();
        assert_eq!((filters.summary(), filters.filter(&[]).is_empty()), (String::new(), true));
        filters.set(Which::Source, " 10.0.0.0/8 ").unwrap();
        filters.set(Which::DestinationPort, "443").unwrap();
        filters.set(Which::Expression, "tcp or udp").unwrap();
        filters.no_loopback = true;
        let told = "source 10.0.0.0/8, destination port 443, filter tcp or udp, no loopback";
        assert_eq!(filters.summary(), told);
        assert!(filters.set(Which::Source, "10.0.0.0/99").is_err());
        assert_eq!(filters.text(Which::Source), "10.0.0.0/8", "a mistake changes nothing");
        filters.set(Which::Source, "").unwrap();
        assert_eq!(filters.text(Which::Source), "");
        assert!(no_loopback().is_some());
    }
}
