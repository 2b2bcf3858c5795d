//! What a daemon does without packets and without a socket.

use super::*;

#[test]
fn a_clock_that_is_put_right_is_followed() {
    let engine = || {
        let wall = WallClock { offset: 1_000_000_000, zone: 60 };
        let start = Instant::from_nanos(1);
        let (limits, seed) = (Limits::default(), 1);
        Engine::new(Settings { limits, seed, event_backlog: 1, start, wall })
    };
    let rows = [
        ("as it was", 1_000_000_000, 1_000_000_000),
        ("a trembling hand", 1_000_000_900, 1_000_000_000),
        ("put forward", 1_700_000_000_000_000_000, 1_700_000_000_000_000_000),
        ("put back", 0, 0),
    ];
    for (what, offset, expected) in rows {
        let mut engine = engine();
        follow(WallClock { offset, zone: 0 }, &mut engine);
        assert_eq!(engine.wall_clock(), WallClock { offset: expected, zone: 60 }, "{what}");
    }
}
