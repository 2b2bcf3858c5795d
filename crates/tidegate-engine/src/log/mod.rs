//! stub
use crate::time::*;
/// l
pub struct LogLine {
    /// t
    pub text: alloc::string::String,
    /// l
    pub level: u8,
}
/// q
#[derive(Default)]
pub struct LogQueue;
impl LogQueue {
    /// p
    pub fn pop(&mut self) -> Option<LogLine> {
        None
    }
    /// p
    pub fn push(&mut self, _: LogLine) {}
    /// t
    pub fn table_full(&mut self, _: Instant) {}
}
