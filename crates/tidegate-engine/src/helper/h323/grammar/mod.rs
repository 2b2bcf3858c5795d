//! What H.323's messages are made of, as far as Linux knows and reads them.
//!
//! The types are those of H.225.0 (version 4) and H.245 (version 7), under their names. Where nobody
//! wants the rest of a message it ends ([`Type::End`]), and what was added by later versions of a type
//! is only counted ([`Type::Open`]). Components that are truth values or small numbers are taken
//! together as bits.
//!
//! [`Type::End`]: super::per::Type::End
//! [`Type::Open`]: super::per::Type::Open

mod address;
mod call;
mod capability;
mod channel;
mod ras;
mod token;

pub(super) use self::call::USER_INFORMATION;
pub(super) use self::channel::CONTROL_MESSAGE;
pub(super) use self::ras::RAS_MESSAGE;
