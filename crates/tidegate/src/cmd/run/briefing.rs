//! What a gateway says when it begins: what it does, and how to watch it.

use std::path::Path;

use tidegate_gateway::config::Config;
use tidegate_gateway::privileges::Remaining;
use tidegate_gateway::rival;

use crate::message;

/// See the module's documentation.
pub(super) struct Briefing<'a> {
    config: &'a Config,
    /// The kernel is kept away from the same packets.
    pub(super) is_fenced: bool,
    /// The kernel forwarded, and was stopped.
    pub(super) has_taken_over: bool,
    /// What it still may; `None`: nothing was given up.
    pub(super) remaining: Option<Remaining>,
}

impl<'a> Briefing<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, is_fenced: false, has_taken_over: false, remaining: None }
    }

    /// Says it, a line each.
    pub(super) fn tell(&self) {
        self.lines().iter().for_each(message::note);
        if let Some(warning) = self.rivalry() {
            message::warning(warning);
        }
    }

    fn lines(&self) -> Vec<String> {
        let Config { interfaces, inputs, control, .. } = self.config;
        let names = interfaces.iter().map(|one| format!("{} ({})", one.name, one.plane.name()));
        let names: Vec<String> = names.collect();
        let names = if names.is_empty() { "no interface".to_owned() } else { names.join(", ") };
        let file = |path: &Option<std::path::PathBuf>| {
            path.as_deref().map_or("none".to_owned(), |path| path.display().to_string())
        };
        let world = match &self.config.fixed {
            None => "the kernel's routes and neighbours, followed as they change",
            Some(_) => "routes and neighbours of the file, which don't change",
        };
        let socket = control.socket.display();
        let mode = control.policy.mode;
        let mut lines = vec![
            format!("forwards between {names}{}", self.workers()),
            format!("world: {world}"),
            format!("rules: IPv4 {}, IPv6 {}", file(&inputs.rules4), file(&inputs.rules6)),
            format!("settings: {}; sets: {}", file(&inputs.sysctl), file(&inputs.sets)),
            format!("control socket: {socket}, mode {mode:03o}"),
            format!("flows:   tidegate list --socket {socket}"),
            format!("events:  tidegate events --socket {socket}"),
            format!("drops:   tidegate stats --socket {socket}"),
            format!("reload:  {}tidegate reload --socket {socket}, or SIGHUP", self.check()),
        ];
        lines.extend(self.remaining.as_ref().map(|Remaining { capabilities, files }| {
            format!("may still: {capabilities}; files: {files}")
        }));
        lines
    }

    fn workers(&self) -> String {
        let Config { workers, cores, .. } = self.config;
        let cores = match cores.as_slice() {
            [] => String::new(),
            cores => format!(" on processors {cores:?}"),
        };
        if *workers == 1 { cores } else { format!(", by {workers} workers{cores}") }
    }

    fn check(&self) -> String {
        let file: &Path = &self.config.file;
        if file.as_os_str().is_empty() {
            String::new()
        } else {
            format!("tidegate check {} && ", file.display())
        }
    }

    /// What is to be said of the kernel, if that would forward the same packets.
    fn rivalry(&self) -> Option<String> {
        if self.config.interfaces.is_empty() {
            return None;
        }
        if self.has_taken_over {
            message::note("the kernel no longer forwards; it will again when this ends");
        }
        let switches = rival::forwarding();
        if switches.is_empty() || self.is_fenced {
            return None;
        }
        let off: Vec<String> = switches.iter().map(|name| format!("{name}=0")).collect();
        Some(format!(
            "the kernel forwards the same packets, past the rules: `sysctl -w {}' prevents it, or --take-over for as \
             long as this runs",
            off.join(" ")
        ))
    }
}
