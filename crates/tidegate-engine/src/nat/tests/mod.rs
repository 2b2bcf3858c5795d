//! NAT: what is decided, and how packets are rewritten.

mod address;
mod bind;
mod rewrite;
