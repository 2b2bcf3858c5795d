//! The allocator as its users see it: blocks are aligned, zero where promised, and nobody else's.

use std::thread;

use proptest::prelude::*;

use super::arena::UNIT;
use super::pages::HUGE;
use super::*;

/// Each row: what it shows, a size, an alignment, where such a block is from.
#[test]
fn the_size_says_where_a_block_is_from() {
    let rows = [
        ("a small block", 64, 8, Source::System),
        ("just below the limit", LARGE - 1, 64, Source::System),
        ("at the limit", LARGE, 64, Source::Pool),
        ("the alignment of a unit", LARGE, UNIT, Source::Pool),
        ("more than that", LARGE, 2 * UNIT, Source::System),
        ("the largest that shares", SHARED, 64, Source::Pool),
        ("a larger one", SHARED + 1, 64, Source::Mapping),
        ("of whatever alignment", 4 * SHARED, HUGE, Source::System),
    ];
    for (what, size, align, expected) in rows {
        let layout = Layout::from_size_align(size, align).unwrap();
        assert_eq!(Source::of(layout), expected, "{what}");
        let mut block = Block::new(layout, false, 1).unwrap();
        assert!(block.start.addr().is_multiple_of(align), "{what}");
        block.fill(2);
        block.check();
    }
}

#[test]
fn what_cannot_be_had_is_null() {
    let layout = Layout::from_size_align(isize::MAX as usize / 2, 8).unwrap();
    assert!(Block::new(layout, false, 1).is_none());
    let mut block = Block::new(Layout::from_size_align(2 * SHARED, 8).unwrap(), false, 1).unwrap();
    assert!(!block.resize(isize::MAX as usize / 2));
    block.check();
}

#[test]
fn a_mapping_grows_without_a_copy_and_keeps_its_place_when_cut() {
    let layout = Layout::from_size_align(2 * SHARED, 8).unwrap();
    let mut block = Block::new(layout, false, 3).unwrap();
    assert!(block.resize(5 * SHARED));
    assert!(block.start.addr().is_multiple_of(HUGE), "huge pages stay whole");
    let start = block.start;
    assert!(block.resize(3 * SHARED - 1));
    assert_eq!(block.start, start);
    block.check();
}

#[test]
fn threads_do_not_get_each_other_s_blocks() {
    let _ahead = Prefault::start(2 * HUGE).unwrap();
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || churn(seed));
        }
    });
}

/// Blocks of many sizes, of which some dozen are alive at any time.
fn churn(seed: usize) {
    let mut blocks: Vec<Block> = Vec::new();
    for step in 0..200 {
        let number = step * 7919 + seed * 104_729;
        let layout = Layout::from_size_align(LARGE / 2 + number * 4099 % (3 << 20), 64).unwrap();
        let block = Block::new(layout, step % 3 == 0, number as u8).unwrap();
        if blocks.len() < 12 {
            blocks.push(block);
        } else {
            let place = number % 12;
            blocks[place].check();
            blocks[place] = block;
        }
    }
    blocks.iter().for_each(Block::check);
}

/// What is done to blocks.
#[derive(Clone, Debug)]
enum Act {
    Alloc { size: usize, zeroed: bool },
    Free(usize),
    Resize(usize, usize),
}

/// Sizes on either side of each limit.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        1..LARGE,
        LARGE - 2..LARGE + 2,
        LARGE..3 * HUGE,
        (8..40_usize).prop_map(|units| units * UNIT),
        SHARED - 2..SHARED + 2,
        SHARED..2 * SHARED,
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (size(), any::<bool>()).prop_map(|(size, zeroed)| Act::Alloc { size, zeroed }),
        2 => any::<usize>().prop_map(Act::Free),
        1 => (any::<usize>(), size()).prop_map(|(which, size)| Act::Resize(which, size)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_block_disturbs_another(acts in prop::collection::vec(act(), 1..40)) {
        let mut blocks: Vec<Block> = Vec::new();
        for (step, act) in acts.into_iter().enumerate() {
            match act {
                Act::Alloc { size, zeroed } => {
                    let layout = Layout::from_size_align(size, 64).unwrap();
                    blocks.push(Block::new(layout, zeroed, step as u8).unwrap());
                }
                _ if blocks.is_empty() => {}
                Act::Free(which) => {
                    let block = blocks.swap_remove(which % blocks.len());
                    block.check();
                }
                Act::Resize(which, size) => {
                    let place = which % blocks.len();
                    prop_assert!(blocks[place].resize(size));
                    blocks[place].fill(step as u8);
                }
            }
        }
        blocks.iter().for_each(Block::check);
    }
}

/// A block that is filled with one byte.
struct Block {
    start: *mut u8,
    layout: Layout,
    mark: u8,
}

impl Block {
    /// Looks at the zeros, if they are promised, before it writes the mark.
    fn new(layout: Layout, zeroed: bool, mark: u8) -> Option<Self> {
        // SAFETY: no size in these tests is zero.
        let start = unsafe {
            if zeroed { HugePages.alloc_zeroed(layout) } else { HugePages.alloc(layout) }
        };
        let mut block = (!start.is_null()).then(|| Self { start, layout, mark: 0 })?;
        if zeroed {
            block.check();
        }
        block.fill(mark);
        Some(block)
    }

    fn fill(&mut self, mark: u8) {
        self.mark = mark;
        // SAFETY: ours, and of this size.
        unsafe { self.start.write_bytes(mark, self.layout.size()) };
    }

    /// The mark is everywhere.
    #[track_caller]
    fn check(&self) {
        self.check_first(self.layout.size());
    }

    #[track_caller]
    fn check_first(&self, len: usize) {
        // SAFETY: ours, and initialized by `fill` or promised to be zero.
        let bytes = unsafe { std::slice::from_raw_parts(self.start, len) };
        let expected = [self.mark; 4096];
        for (index, piece) in bytes.chunks(expected.len()).enumerate() {
            assert!(piece == &expected[..piece.len()], "{:?}, piece {index}", self.layout);
        }
    }

    /// Whether it could be done; what is kept is looked at.
    fn resize(&mut self, size: usize) -> bool {
        // SAFETY: ours, of this layout; no size is zero.
        let start = unsafe { HugePages.realloc(self.start, self.layout, size) };
        if start.is_null() {
            return false;
        }
        let kept = size.min(self.layout.size());
        self.start = start;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        self.check_first(kept);
        self.fill(self.mark);
        true
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: ours, of this layout.
        unsafe { HugePages.dealloc(self.start, self.layout) };
    }
}
