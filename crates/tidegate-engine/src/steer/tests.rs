//! The homes of tuples and packets.
