//! IRC: direct connections between clients, announced in private messages.

use std::net::IpAddr;

use super::{Act, Pipe, Scene, act, connection_to, end, some_address, some_port};
use crate::campaign::dice::Dice;
use crate::campaign::traffic::script::{Announced, Role};
use crate::campaign::traffic::tcp::Connection;

/// Somebody comes.
pub(super) fn begin(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut connection = Connection::new(dice);
    connection.shake_hands(dice);
    connection.send(Role::Client, b"NICK bob\r\n", Vec::new(), dice);
    act(connection, talk)
}

fn talk(connection: Connection, scene: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut pipe = Pipe::Stream(connection);
    let mut lines = Vec::new();
    for _ in 0..dice.between(1..=4) {
        let from = if dice.chance(75) { Role::Client } else { Role::Server };
        let own = scene.own(from).addr;
        let stranger = some_address(own, dice);
        let port = some_port(dice);
        let text = offer(from, stranger.unwrap_or(own), port, dice);
        let child = Announced { addr: stranger, ..connection_to(port, None, dice) };
        pipe.say(&mut lines, (from, text.as_bytes()), vec![child], dice);
    }
    let Pipe::Stream(connection) = pipe else { return Act { lines, then: None } };
    lines.extend(end(connection, dice).lines);
    Act { lines, then: None }
}

fn offer(from: Role, addr: IpAddr, port: u16, dice: &mut Dice) -> String {
    let number = match addr {
        IpAddr::V4(addr) => u32::from(addr),
        IpAddr::V6(_) => 1,
    };
    let what = *dice.pick(&["SEND f", "CHAT chat", "MOVE f", "TSEND f", "SCHAT chat", "NOPE f"]);
    let size = if dice.chance(60) { " 1234" } else { "" };
    let who = if from == Role::Server { ":al!x@y " } else { "" };
    let end = *dice.pick(&["\r\n", "\n", "\n", ""]);
    let space = if dice.chance(10) { "  " } else { " " };
    format!("{who}PRIVMSG bob :\u{1}DCC {what}{space}{number}{space}{port}{size}\u{1}{end}")
}
