//! Which files there are, and which number each has.

use super::File;

/// A setting below `/proc/sys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// With slashes: `net/netfilter/nf_conntrack_max`.
    pub name: String,
    /// Whether it takes values.
    pub is_writable: bool,
}

/// A directory or file.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) parent: u64,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Directory,
    Flows,
    Expectations,
    Statistics,
    Setting(Setting),
}

/// All of them; the number of a node is its place, from 1, and 1 is the root.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// The root's number.
pub(super) const ROOT: u64 = 1;

impl Tree {
    pub(super) fn new(settings: Vec<Setting>) -> Self {
        let root = Node { name: String::new(), parent: ROOT, kind: Kind::Directory };
        let mut tree = Self { nodes: vec![root] };
        tree.place("net/nf_conntrack", Kind::Flows);
        tree.place("net/nf_conntrack_expect", Kind::Expectations);
        tree.place("net/stat/nf_conntrack", Kind::Statistics);
        for setting in settings {
            let path = format!("sys/{}", setting.name);
            tree.place(&path, Kind::Setting(setting));
        }
        tree
    }

    /// The node of a number.
    pub(super) fn node(&self, number: u64) -> Option<&Node> {
        self.nodes.get(usize::try_from(number.checked_sub(ROOT)?).ok()?)
    }

    /// A directory's entry of a name.
    pub(super) fn find(&self, directory: u64, name: &str) -> Option<u64> {
        self.entries(directory).find(|(_, node)| node.name == name).map(|(number, _)| number)
    }

    /// A directory's entries with their numbers.
    pub(super) fn entries(&self, directory: u64) -> impl Iterator<Item = (u64, &Node)> {
        let numbered = (ROOT..).zip(&self.nodes).skip(1);
        numbered.filter(move |(_, node)| node.parent == directory)
    }

    /// Puts a file there, with the directories above it.
    fn place(&mut self, path: &str, kind: Kind) {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = above.split('/').fold(ROOT, |at, name| self.directory(at, name));
        self.add(parent, name, kind);
    }

    fn directory(&mut self, parent: u64, name: &str) -> u64 {
        self.find(parent, name).unwrap_or_else(|| self.add(parent, name, Kind::Directory))
    }

    fn add(&mut self, parent: u64, name: &str, kind: Kind) -> u64 {
        self.nodes.push(Node { name: name.to_owned(), parent, kind });
        self.nodes.len() as u64
    }
}

impl Node {
    /// What it is a file of; `None` for a directory.
    pub(super) fn file(&self) -> Option<File<'_>> {
        match &self.kind {
            Kind::Directory => None,
            Kind::Flows => Some(File::Flows),
            Kind::Expectations => Some(File::Expectations),
            Kind::Statistics => Some(File::Statistics),
            Kind::Setting(setting) => Some(File::Setting(&setting.name)),
        }
    }

    /// The permissions that procfs gives.
    pub(super) fn mode(&self) -> u16 {
        match &self.kind {
            Kind::Directory => 0o555,
            Kind::Flows | Kind::Expectations => 0o440,
            Kind::Statistics => 0o444,
            Kind::Setting(Setting { is_writable: false, .. }) => 0o444,
            Kind::Setting(Setting { is_writable: true, .. }) => 0o644,
        }
    }
}
