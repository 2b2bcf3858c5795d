//! What rules share by name: the lists of `recent`, the tables of `hashlimit`, and sets.
//!
//! A list or table comes with the first rule that names it and goes with the last; what a rule that stays has is not
//! lost when others are replaced. Sets come and go by their own commands.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

use tidegate_wire::Family;

use super::Kind;
use super::hashlimit::Buckets;
use super::recent::List;
use crate::ipset::Sets;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct Memory {
    pub(super) recent: BTreeMap<String, List>,
    hashlimit: [BTreeMap<String, Buckets>; 2],
    pub(in crate::rules) sets: Sets,
}

impl Kind {
    /// Whether it shares by name what it remembers.
    pub(in crate::rules) fn shares(&self) -> bool {
        matches!(self, Self::Recent(_) | Self::Hashlimit(_))
    }
}

impl Memory {
    /// Makes what a rule needs, if it isn't there.
    pub(in crate::rules) fn provide(&mut self, family: Family, one: &Kind) {
        match one {
            Kind::Recent(recent) => {
                let name = recent.list_name().to_owned();
                let list = self.recent.entry(name).or_insert_with(|| recent.new_list());
                list.keep(recent.stamps());
            }
            Kind::Hashlimit(limit) => {
                let tables = &mut self.hashlimit[index(family)];
                let name = limit.table_name().to_owned();
                tables.entry(name).or_insert_with(|| limit.new_table());
            }
            _ => {}
        }
    }

    /// Forgets what no rule names any more.
    pub(in crate::rules) fn retain<'k>(
        &mut self,
        rules: impl Iterator<Item = (Family, &'k Kind)> + Clone,
    ) {
        self.recent.retain(|name, _| {
            rules.clone().any(|(_, one)| matches!(one, Kind::Recent(r) if r.list_name() == name))
        });
        for family in [Family::V4, Family::V6] {
            self.hashlimit[index(family)].retain(|name, _| {
                rules.clone().any(|(of, one)| {
                    of == family && matches!(one, Kind::Hashlimit(l) if l.table_name() == name)
                })
            });
        }
    }

    /// A table of a family.
    pub(super) fn hashlimit_mut(&mut self, (family, name): (Family, &str)) -> Option<&mut Buckets> {
        self.hashlimit[index(family)].get_mut(name)
    }
}

fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
