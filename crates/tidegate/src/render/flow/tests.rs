//! Forms against lines that were seen.
