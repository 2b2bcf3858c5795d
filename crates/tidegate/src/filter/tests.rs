//! Conditions against flows.
