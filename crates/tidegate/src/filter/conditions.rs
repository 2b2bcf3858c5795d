//! The conditions as an engine takes them: nearly all there are.
//!
//! Those that it can't be told, such as one of several states or any of four addresses, are tried here as all others
//! are.

use tidegate_wire::netlink::Writer;
use tidegate_wire::netlink::tidegate::{Attribute, Condition, Field};

use super::{Filter, Masked, Spot, Test};
use crate::client::names;

impl Filter {
    /// Writes what an engine can narrow a listing or its events down by.
    pub(crate) fn write_conditions(&self, writer: &mut Writer<'_>) {
        let mut write = |condition| Attribute::Condition(condition).write(writer);
        if let Some(number) = Some(self.family().family).filter(|number| *number != 0) {
            write(equal(Field::Family, number));
        }
        self.tests.iter().filter_map(|test| self.condition(test)).for_each(write);
    }

    fn condition<'a>(&self, test: &'a Test) -> Option<Condition<'a>> {
        Some(match test {
            // The family goes along in any case.
            Test::Family(_) => return None,
            Test::Protocol(number) => equal(Field::Protocol, *number),
            Test::Status(bits) => masked(Field::Status, *bits),
            Test::State(names) => equal(Field::State, self.state_number(names)?),
            Test::Address(spot, prefix) => {
                let [field, _] = fields(*spot)?;
                let (first, last) = prefix.range();
                Condition::between(field, first, last)
            }
            Test::Port(spot, range) => {
                let [_, field] = fields(*spot)?;
                Condition::between(field, range.first.into(), range.last.into())
            }
            Test::Mark(bits) => masked(Field::Mark, *bits),
            Test::Label(bit) => Condition::masked(Field::Labels, 1 << bit, 1 << bit),
            Test::Helper(name) => Condition::named(Field::Helper, name.as_bytes()),
            Test::Id(id) => equal(Field::Id, *id),
            Test::Timeout(range) => within(Field::Timeout, range.ends()),
            Test::Age(range) => within(Field::Age, range.ends()),
            Test::Packets(range) => within(Field::Packets, range.ends()),
            Test::Bytes(range) => within(Field::Bytes, range.ends()),
            // An engine's field doesn't say of which direction a zone is.
            Test::Zone(_)
            | Test::ZoneOf(..)
            | Test::Translated(..)
            | Test::Idle(..)
            | Test::Where(_) => {
                return None;
            }
        })
    }

    /// The number of the only state that is meant; which protocol's it is must be known.
    fn state_number(&self, names: &[&str]) -> Option<u8> {
        let [name] = names else { return None };
        let is_of = |number| self.tests.contains(&Test::Protocol(number));
        if is_of(tidegate_wire::proto::TCP) {
            names::tcp_state_number(name)
        } else if is_of(tidegate_wire::proto::SCTP) {
            names::sctp_state_number(name)
        } else {
            None
        }
    }
}

fn equal<'a>(field: Field, number: impl Into<u128>) -> Condition<'a> {
    let number = number.into();
    Condition::between(field, number, number)
}

fn within<'a>(field: Field, (first, last): (u64, u64)) -> Condition<'a> {
    Condition::between(field, first.into(), last.into())
}

fn masked<'a>(field: Field, Masked { value, mask }: Masked) -> Condition<'a> {
    // A value that has bits outside of the mask is met by nothing.
    let (value, mask) = (u128::from(value), u128::from(mask));
    Condition { mask: Some(mask), ..Condition::between(field, value, value) }
}

/// The fields of address and port.
fn fields(spot: Spot) -> Option<[Field; 2]> {
    Some(match spot {
        Spot::Source(0) => [Field::OriginalSource, Field::OriginalSourcePort],
        Spot::Destination(0) => [Field::OriginalDestination, Field::OriginalDestinationPort],
        Spot::Source(_) => [Field::ReplySource, Field::ReplySourcePort],
        Spot::Destination(_) => [Field::ReplyDestination, Field::ReplyDestinationPort],
        Spot::Anywhere => return None,
    })
}
