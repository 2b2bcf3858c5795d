//! What a message says of an expectation.

use tidegate_wire::netlink::expect::{self, Attribute};
use tidegate_wire::netlink::{Message, Tuple};

use super::error::ClientError;

/// An expectation, as far as a message tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected<'a> {
    /// The address family's number.
    pub(crate) family: u8,
    /// What is expected.
    pub(crate) tuple: Tuple,
    /// Which bits of that count.
    pub(crate) mask: Tuple,
    /// The original tuple of the flow that brought it about.
    pub(crate) master: Tuple,
    /// The rest of its life, in seconds.
    pub(crate) timeout: Option<u32>,
    /// Its number.
    pub(crate) id: Option<u32>,
    /// The helper's name.
    pub(crate) helper: Option<&'a [u8]>,
    /// Its zone.
    pub(crate) zone: Option<u16>,
    /// Its flags.
    pub(crate) flags: u32,
    /// Its class.
    pub(crate) class: Option<u32>,
}

impl<'a> Expected<'a> {
    /// Reads a message about an expectation.
    ///
    /// # Errors
    /// It is cut or damaged.
    pub(crate) fn parse(message: &Message<'a>) -> Result<Self, ClientError> {
        let (family, attrs) = message.body()?;
        let mut found = Self { family: family.family, ..Self::default() };
        for attribute in expect::attributes(attrs) {
            found.take(attribute?);
        }
        Ok(found)
    }

    fn take(&mut self, attribute: Attribute<'a>) {
        match attribute {
            Attribute::Tuple(tuple) => self.tuple = tuple,
            Attribute::Mask(tuple) => self.mask = tuple,
            Attribute::Master(tuple) => self.master = tuple,
            Attribute::Timeout(seconds) => self.timeout = Some(seconds),
            Attribute::Id(id) => self.id = Some(id),
            Attribute::Helper(name) => self.helper = Some(name),
            Attribute::Zone(zone) => self.zone = Some(zone),
            Attribute::Flags(flags) => self.flags = flags,
            Attribute::Class(class) => self.class = Some(class),
            Attribute::Nat(_) | Attribute::Function(_) | Attribute::Other(_) => {}
        }
    }

    /// The names of its flags.
    pub(crate) fn flag_names(&self) -> impl Iterator<Item = &'static str> {
        let flags = self.flags;
        FLAGS.into_iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| name)
    }
}

/// `NF_CT_EXPECT_…`.
const FLAGS: [(u32, &str); 3] = [(1, "PERMANENT"), (2, "INACTIVE"), (4, "USERSPACE")];
