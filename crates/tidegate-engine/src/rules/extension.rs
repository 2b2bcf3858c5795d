//! What less frequent matches and targets have in common: a name that a family's iptables knows, options, and a text.
//!
//! The tables of [`conditions`](super::conditions) and [`effects`](super::effects) become types here.

use tidegate_wire::Family;

/// The families whose iptables has a match or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    Both,
    V4,
    V6,
}

impl Families {
    pub(super) fn have(self, family: Family) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => family == Family::V4,
            Self::V6 => family == Family::V6,
        }
    }
}

/// Makes `Name`, which is parsed into a `Kind`, of a table's rows; what both can do is told by the trait that comes first.
macro_rules! extensions {
    ($trait:ident: $($variant:ident($type:ty): $word:literal in $families:ident,)*) => {
        /// The name of one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Name { $($variant),* }

        impl Name {
            const ALL: &'static [(Self, &'static str, $crate::rules::extension::Families)] =
                &[$((Self::$variant, $word, $crate::rules::extension::Families::$families)),*];

            /// The one of this name that a family has.
            pub(super) fn find(family: Family, word: &str) -> Option<Self> {
                let known = |row: &&(Self, &str, $crate::rules::extension::Families)| {
                    row.1 == word && row.2.have(family)
                };
                Self::ALL.iter().find(known).map(|row| row.0)
            }

            /// The word.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Its options.
            pub(super) fn options(self) -> &'static [OptionSpec] {
                match self { $(Self::$variant => <$type as $trait>::OPTIONS),* }
            }

            /// Reads them.
            pub(super) fn parse(self, family: Family, clause: &Clause<'_>) -> Parsed<Kind> {
                Ok(match self { $(Self::$variant => Kind::$variant($trait::parse(family, clause)?)),* })
            }
        }

        /// One with its options.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(in crate::rules) enum Kind { $($variant($type)),* }

        impl Kind {
            pub(super) fn name(&self) -> Name {
                match self { $(Self::$variant(_) => Name::$variant),* }
            }

            /// Writes the options as iptables-save does, each with a blank before it.
            pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant(one) => one.write(f)),* }
            }

            /// Whether it may stand there.
            pub(super) fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault> {
                match self { $(Self::$variant(one) => one.check(setting, rule)),* }
            }
        }
    };
}

pub(super) use extensions;
