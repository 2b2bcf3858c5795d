//! How full the table was in the last day, if somebody recorded it.

use std::path::Path;

use tidegate_gateway::snapshot::Opening;

use super::super::facts::{Scene, Whose};
use crate::client::Place;
use crate::record::DEFAULT_DIR;
use crate::record::fills::{Fill, fills};

/// The snapshots of the recording that the table is in, or of the service's if that is of this table.
pub(super) fn read(place: &Place, scene: &Scene) -> Vec<Fill> {
    let span = [scene.time.saturating_sub(DAY), scene.time];
    match place {
        Place::File(saved) if saved.path.is_dir() => fills(&saved.path, span, |_| true),
        Place::File(_) => Vec::new(),
        Place::Engine(path) => {
            let path = path.display().to_string();
            fills(Path::new(DEFAULT_DIR), span, |opening| {
                opening.table == "engine" && opening.place == path
            })
        }
        Place::Kernel(name) => {
            let inode = scene.inode.map(|inode| format!("net:[{inode}]"));
            let is_ours = |opening: &Opening| {
                let place = Some(&opening.place);
                let is_it = place == inode.as_ref() || (name.is_some() && place == name.as_ref());
                opening.table == "kernel" && scene.table == Whose::Kernel && is_it
            };
            fills(Path::new(DEFAULT_DIR), span, is_ours)
        }
    }
}

const DAY: u64 = 86_400 * 1_000_000_000;
