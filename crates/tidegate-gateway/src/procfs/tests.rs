//! The tree and open files; that the kernel mounts them is shown from outside.

use std::io::{self, Read};

use super::File;
use super::reading::{Piece, Reading};
use super::tree::{ROOT, Setting, Tree};

fn setting(name: &str, is_writable: bool) -> Setting {
    Setting { name: name.to_owned(), is_writable }
}

fn tree() -> Tree {
    Tree::new(vec![
        setting("net/netfilter/nf_conntrack_max", true),
        setting("net/netfilter/nf_conntrack_count", false),
        setting("net/ipv4/ipfrag_time", true),
        setting("net/nf_conntrack_max", true),
    ])
}

fn walk(tree: &Tree, path: &str) -> Option<u64> {
    path.split('/').try_fold(ROOT, |at, name| tree.find(at, name))
}

#[test]
fn files_are_where_procfs_has_them() {
    let tree = tree();
    let rows = [
        ("net/nf_conntrack", Some(File::Flows), 0o440),
        ("net/nf_conntrack_expect", Some(File::Expectations), 0o440),
        ("net/stat/nf_conntrack", Some(File::Statistics), 0o444),
        ("sys/net/nf_conntrack_max", Some(File::Setting("net/nf_conntrack_max")), 0o644),
        (
            "sys/net/netfilter/nf_conntrack_count",
            Some(File::Setting("net/netfilter/nf_conntrack_count")),
            0o444,
        ),
        ("sys/net/ipv4/ipfrag_time", Some(File::Setting("net/ipv4/ipfrag_time")), 0o644),
        ("sys/net/netfilter", None, 0o555),
    ];
    for (path, file, mode) in rows {
        let node = walk(&tree, path).and_then(|number| tree.node(number));
        let node = node.unwrap_or_else(|| panic!("{path} is missing"));
        assert_eq!((node.file(), node.mode()), (file, mode), "{path}");
    }
    let names: Vec<_> = tree.entries(ROOT).map(|(_, node)| node.name.as_str()).collect();
    assert_eq!(names, ["net", "sys"]);
    assert_eq!(walk(&tree, "net/nothing"), None);
    assert!(tree.node(0).is_none() && tree.node(u64::MAX).is_none());
}

/// Counts up, a byte at a time, to a length.
struct Counting(u64, u64);

impl Read for Counting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.1 - self.0).unwrap().min(into.len()).min(3);
        for byte in &mut into[..left] {
            *byte = self.0 as u8;
            self.0 += 1;
        }
        Ok(left)
    }
}

fn bytes(from: u64, to: u64) -> Piece {
    Piece::Here((from..to).map(|at| at as u8).collect())
}

#[test]
fn a_file_is_read_from_front_to_back() {
    let mut reading = Reading::new(Box::new(Counting(0, 1000)));
    let rows = [
        ("the beginning", 0, 10, bytes(0, 10)),
        ("what follows", 10, 10, bytes(10, 20)),
        ("the same again", 10, 10, bytes(10, 20)),
        ("the same again, shorter", 10, 4, bytes(10, 14)),
        ("and longer", 10, 40, bytes(10, 50)),
        ("across the end of what is known", 45, 10, bytes(45, 55)),
        ("far ahead", 700, 5, bytes(700, 705)),
        ("before that", 699, 5, Piece::Behind),
        ("the end", 990, 100, bytes(990, 1000)),
        ("at the end", 1000, 100, bytes(1000, 1000)),
        ("behind the end", 5000, 100, bytes(0, 0)),
    ];
    for (what, offset, len, expected) in rows {
        assert_eq!(reading.read(offset, len).unwrap(), expected, "{what}");
    }
}

#[test]
fn a_fault_is_the_readers() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let error = Reading::new(Box::new(Broken)).read(0, 10).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
