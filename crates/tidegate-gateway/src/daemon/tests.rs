//! What a daemon does without packets and without a socket.

use tidegate_engine::time::WallClock;

use super::office;

#[test]
fn a_clock_that_is_put_right_is_followed() {
    let known = WallClock { offset: 1_000_000_000, zone: 60 };
    let rows = [
        ("as it was", 1_000_000_000, 1_000_000_000),
        ("a trembling hand", 1_000_000_900, 1_000_000_000),
        ("put forward", 1_700_000_000_000_000_000, 1_700_000_000_000_000_000),
        ("put back", 0, 0),
    ];
    for (what, offset, expected) in rows {
        let now = office::put_right(WallClock { offset, zone: 0 }, known).unwrap_or(known);
        assert_eq!(now, WallClock { offset: expected, zone: 60 }, "{what}");
    }
}
