//! SANE: the answer to a request to scan names the port of the data connection.

use super::{Act, Pipe, Scene, connection_to, end, some_port};
use crate::campaign::dice::Dice;
use crate::campaign::traffic::script::Role;
use crate::campaign::traffic::tcp::Connection;

pub(super) fn begin(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut connection = Connection::new(dice);
    connection.shake_hands(dice);
    let mut pipe = Pipe::Stream(connection);
    let mut lines = Vec::new();
    for _ in 0..dice.between(1..=3) {
        let code = *dice.pick(&[7, 7, 7, 2]);
        pipe.say(&mut lines, (Role::Client, &[0, 0, 0, code, 0, 0, 0, 1]), Vec::new(), dice);
        let port = some_port(dice);
        let [high, low] = port.to_be_bytes();
        let status = if dice.chance(85) { 0 } else { 11 };
        let answer = [0, 0, 0, status, 0, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
        let child = connection_to(port, None, dice);
        pipe.say(&mut lines, (Role::Server, &answer), vec![child], dice);
    }
    let Pipe::Stream(connection) = pipe else { return Act { lines, then: None } };
    lines.extend(end(connection, dice).lines);
    Act { lines, then: None }
}
