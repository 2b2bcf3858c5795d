//! Registrations: who has registered may be called, by the registrar and at the address that it was
//! told, until the registration expires.
//!
//! The expectation is made with the request, and meets calls once the response has confirmed it.
//! Linux: `process_register_request`, `process_register_response`, `nf_nat_sip_expect`.

use core::net::IpAddr;
use core::time::Duration;

use super::header::{Found, Header, Text, Uri, Walk, uint};
use super::rewrite::endpoint;
use super::{SIGNALLING, Sip};
use crate::expect::{Binding, ExpectFlags, Expectation};
use crate::flow::Status;
use crate::helper::hearing::toward;
use crate::helper::{Hearing, HelperFault, Outcome, Purpose};

impl Sip<'_, '_, '_> {
    pub(super) fn register_request(&mut self, number: u32) -> Outcome {
        // Who was called does not register again.
        if self.hearing.flow.is(Status::EXPECTED) {
            return Ok(());
        }
        let text = self.text();
        let contact = text.uri(Header::Contact);
        let contact = contact.map_err(|()| HelperFault::Malformed("parse contact"))?;
        let Some(contact) = contact else { return Ok(()) };
        // Nobody registers for another one.
        if contact.addr != self.hearing.own().src {
            return Ok(());
        }
        let own_proto = self.hearing.flow.orig.proto;
        let Some(proto) = text.transport(contact.span.end, own_proto) else { return Ok(()) };
        let seconds = seconds_of(&text, contact.span.end, default_seconds(&text))?;
        if seconds > 0 {
            self.expect_calls(contact, proto)?;
        }
        self.dialog_mut(|dialog| dialog.register = number);
        Ok(())
    }

    fn expect_calls(&mut self, contact: Uri, proto: u8) -> Outcome {
        let helper = self.hearing.flow.helper();
        let registrar = self.hearing.other().src;
        let from = self.hearing.parameters().sip_direct_signalling.then_some(registrar);
        let announced = toward(from, contact.addr, contact.port, proto);
        let mut expectation = self.hearing.announce(SIGNALLING, &announced);
        expectation.assigns = helper;
        expectation.flags = ExpectFlags::PERMANENT | ExpectFlags::INACTIVE;
        if self.hearing.is_translated() {
            self.expect_translated_calls(expectation, contact)
        } else {
            self.hearing.expect(&expectation)
        }
    }

    fn expect_translated_calls(&mut self, mut expectation: Expectation, contact: Uri) -> Outcome {
        let (own, other) = (self.hearing.own(), self.hearing.other());
        let outside = if own.src == other.dst { contact.addr } else { other.dst };
        let listens = self.dialog().answer_port.unwrap_or(own.sport);
        let port = if contact.port == listens { other.dport } else { contact.port };
        expectation.saved = (contact.addr, contact.port);
        expectation.tuple.dst = outside;
        expectation.dir = self.hearing.dir.opposite();
        expectation.binding = Some(Binding::Sip);
        let port = self
            .hearing
            .expect_at_some_port(&mut expectation, port)
            .map_err(|_| HelperFault::NoPort(Purpose::Calls))?;
        if (outside, port) == expectation.saved {
            return Ok(());
        }
        self.replace(contact.span, &endpoint(outside, port)).inspect_err(|_| {
            self.hearing.unexpect(&expectation);
        })
    }

    pub(super) fn register_response(&mut self, number: u32, code: u32) -> Outcome {
        if self.dialog().register != number || (100..200).contains(&code) {
            return Ok(());
        }
        if !(200..300).contains(&code) || !self.confirm_contacts()? {
            let is_call = |one: &Expectation| one.class == SIGNALLING;
            let Hearing { engine, id, now, .. } = &mut *self.hearing;
            engine.table.expectations.withdraw_of(*id, (is_call, 1), *now, &mut engine.events);
        }
        Ok(())
    }

    /// Activates the expectation of the first contact that is ours; whether there is one.
    fn confirm_contacts(&mut self) -> Result<bool, HelperFault> {
        let (dst, proto) = (self.hearing.own().dst, self.hearing.flow.orig.proto);
        let default = default_seconds(&self.text());
        let mut walk = Walk::default();
        loop {
            let text = self.text();
            let contact = text.next_uri(&mut walk, Header::Contact);
            let contact = contact.map_err(|()| HelperFault::Malformed("parse contact"))?;
            let Some(contact) = contact else {
                return Ok(false);
            };
            if contact.addr != dst || text.transport(contact.span.end, proto).is_none() {
                continue;
            }
            let seconds = seconds_of(&text, contact.span.end, default)?;
            if seconds == 0 {
                return Ok(false);
            }
            if self.activate((contact.addr, contact.port), seconds) {
                return Ok(true);
            }
        }
    }

    fn activate(&mut self, contact: (IpAddr, u16), seconds: u32) -> bool {
        let proto = self.hearing.flow.orig.proto;
        let fits = |one: &Expectation| {
            one.class == SIGNALLING
                && (one.tuple.dst, one.tuple.dport) == contact
                && one.tuple.proto == proto
        };
        let deadline = self.hearing.now + Duration::from_secs(seconds.into());
        self.hearing.engine.table.expectations.activate(self.hearing.id, fits, deadline)
    }
}

/// How long a registration lasts if its contact does not say otherwise.
fn default_seconds(text: &Text<'_>) -> u32 {
    match text.header(0, Header::Expires) {
        Found::Value(span) => uint(&text.bytes[span.start..]).0,
        Found::Nothing | Found::Unreadable(_) => 0,
    }
}

fn seconds_of(text: &Text<'_>, from: usize, default: u32) -> Result<u32, HelperFault> {
    let own = text.number_parameter(from, b"expires=");
    let own = own.map_err(|()| HelperFault::Malformed("parse expires"))?;
    Ok(own.map_or(default, |(seconds, _)| seconds))
}
