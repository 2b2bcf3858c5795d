//! Fields of a packet that follow what an earlier packet became, while it is being recorded.
//!
//! The same as a replay does with `patch.json`: answers go to the port that NAT chose.

use super::experiment::Patch;
use super::kernel::Output;
use super::traffic::bytes::complete_checksums;

/// Changes `datagram` as `patches` want it. What isn't there is not followed.
pub(super) fn apply(patches: &[Patch], datagram: &mut [u8], outputs: &[Vec<Output>]) {
    for patch in patches {
        if followed(patch, datagram, outputs).is_some() {
            complete_checksums(datagram);
        }
    }
}

fn followed(patch: &Patch, datagram: &mut [u8], outputs: &[Vec<Output>]) -> Option<()> {
    let source = &outputs.get(patch.step)?.get(patch.out)?.datagram;
    let at = place(source, patch.field)?;
    let value = *source.get(at..)?.first_chunk::<2>()?;
    let at = place(datagram, patch.set)?;
    datagram.get_mut(at..at + 2)?.copy_from_slice(&value);
    Some(())
}

/// Where a field lies in an IPv4 datagram.
fn place(datagram: &[u8], field: &str) -> Option<usize> {
    let header_len = |at: usize| Some(usize::from(datagram.get(at)? & 15) * 4);
    let upper = header_len(0)?;
    let (base, field) = match field.strip_prefix("inner.") {
        Some(field) => (upper + 8 + header_len(upper + 8)?, field),
        None => (upper, field),
    };
    match field {
        "sport" => Some(base),
        "dport" => Some(base + 2),
        "id" => Some(base + 4),
        _ => None,
    }
}
