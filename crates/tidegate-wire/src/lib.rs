//! Bytes to values and back.
#![no_std]
