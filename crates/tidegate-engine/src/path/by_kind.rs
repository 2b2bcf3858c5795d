//! The four kinds of plain datagrams: what is written once for all of them, and compiled for each.

/// Evaluates an expression for a `Kind`, in which the names of two types stand for its family's key and
/// its protocol's usual packets.
macro_rules! by_kind {
    ($kind:expr, |$key:ident, $usual:ident| $body:expr) => {{
        use tidegate_wire::Family;
        use $crate::rules::ExpressProto;
        use $crate::table::key::{Key4, Key6};
        use $crate::track::{tcp, udp};
        match ($kind.family, $kind.proto) {
            (Family::V4, ExpressProto::Tcp) => by_kind!(@ $key = Key4, $usual = tcp::Usual, $body),
            (Family::V4, ExpressProto::Udp) => by_kind!(@ $key = Key4, $usual = udp::Usual, $body),
            (Family::V6, ExpressProto::Tcp) => by_kind!(@ $key = Key6, $usual = tcp::Usual, $body),
            (Family::V6, ExpressProto::Udp) => by_kind!(@ $key = Key6, $usual = udp::Usual, $body),
        }
    }};
    (@ $key:ident = $its_key:ty, $usual:ident = $its_usual:ty, $body:expr) => {{
        type $key = $its_key;
        type $usual = $its_usual;
        $body
    }};
}

pub(super) use by_kind;
