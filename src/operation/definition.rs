//! What of an operation's definition an answer is stored by, as it stands in the key.
//!
//! What is stored by one definition is of no use to another: its tags are those of its class, its
//! partition that of its identity rule, its pieces those of its decomposition. So all of that is in
//! the key of every answer whose operation a configuration defines otherwise than the built-in table
//! does. A changed definition finds nothing that was stored by the one before, here and in a tier
//! that nodes share, whichever of them has been told of the change; and one that is taken back finds
//! again what it had stored, which purges have reached all the while.
//!
//! Lifetimes are no part of it: they are looked at when an answer is used. Neither is how much is
//! asked for in one call.

use aws_lc_rs::digest::{SHA256, digest};

use super::{Decomposition, Operation};

/// Bytes of the digest in the key: by accident two definitions have the same once in 2⁶⁴.
const DIGEST_BYTES: usize = 8;

/// Method and name, and of a definition that is not `built_in` what tells it from others.
pub(super) fn keyed_as(operation: &Operation, built_in: Option<&Operation>) -> Box<str> {
    use std::fmt::Write;

    let mut text = format!("{} {}", operation.method, operation.name);
    let defined = written(operation);
    if built_in.is_none_or(|built_in| written(built_in) != defined) {
        text.push_str(" by ");
        for byte in digest(&SHA256, defined.as_bytes()).as_ref().iter().take(DIGEST_BYTES) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text.into()
}

/// All that an answer is stored by. Compared, and hashed, by who runs the same version; another
/// version that writes it otherwise finds less, and nothing wrong.
fn written(operation: &Operation) -> String {
    let Operation {
        index: _,
        keyed_as: _,
        name,
        method,
        class,
        lifetimes: _,
        identity,
        sets,
        now_parameter,
        records,
        embeds,
        inventory_in_attributes,
        covers_descendants,
        decomposition,
    } = operation;
    let decomposition = decomposition.as_ref().map(
        |Decomposition { list, list_id, items, item_id, max_ids: _ }| {
            (list, list_id, items, item_id)
        },
    );
    let asked = (sets, now_parameter, decomposition);
    let answered = (records, embeds, inventory_in_attributes, covers_descendants);
    format!("{:?}", (name, method, class, identity, asked, answered))
}
