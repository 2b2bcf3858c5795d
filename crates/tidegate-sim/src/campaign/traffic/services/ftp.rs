//! FTP: active and passive, in the old and in the extended form (RFC 959, RFC 2428).

use std::net::IpAddr;

use super::{Act, Pipe, Scene, act, connection_to, end, some_address, some_port};
use crate::campaign::dice::Dice;
use crate::campaign::traffic::script::{Announced, Line, Role};
use crate::campaign::traffic::tcp::Connection;

/// Somebody logs in.
pub(super) fn begin(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut connection = Connection::new(dice);
    connection.shake_hands(dice);
    for (from, text) in [
        (Role::Server, "220 ready\r\n"),
        (Role::Client, "USER anonymous\r\n"),
        (Role::Server, "331 password\r\n"),
    ] {
        if dice.chance(70) {
            connection.send(from, text.as_bytes(), Vec::new(), dice);
        }
    }
    act(connection, transfers)
}

fn transfers(connection: Connection, scene: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut pipe = Pipe::Stream(connection);
    let mut lines = Vec::new();
    for _ in 0..dice.between(1..=4) {
        if dice.chance(50) {
            active(&mut pipe, &mut lines, scene, dice);
        } else {
            passive(&mut pipe, &mut lines, scene, dice);
        }
    }
    let Pipe::Stream(connection) = pipe else { return Act { lines, then: None } };
    let last = end(connection, dice);
    lines.extend(last.lines);
    Act { lines, then: None }
}

/// The client announces where it waits.
fn active(pipe: &mut Pipe, lines: &mut Vec<Line>, scene: &Scene<'_>, dice: &mut Dice) {
    let port = some_port(dice);
    let stranger = some_address(scene.client.addr, dice);
    let addr = stranger.unwrap_or(scene.client.addr);
    let is_extended = addr.is_ipv6() || dice.chance(40);
    let command = match is_extended {
        true => format!("EPRT {}", extended(Some(addr), port, dice)),
        false => format!("PORT {}", commas(addr, port)),
    };
    let command = spelt(command, dice) + line_end(dice);
    let from_port = if dice.chance(80) { Some(20) } else { None };
    let child = Announced { addr: stranger, ..connection_to(port, from_port, dice) };
    let (first, later) =
        if dice.chance(70) { (vec![child], vec![]) } else { (vec![], vec![child]) };
    pipe.say(lines, (Role::Client, command.as_bytes()), first, dice);
    pipe.say(lines, (Role::Server, b"200 ok\r\n"), Vec::new(), dice);
    if !later.is_empty() {
        pipe.say(lines, (Role::Client, b"RETR x\r\n"), later, dice);
    }
}

/// The server announces where it waits.
fn passive(pipe: &mut Pipe, lines: &mut Vec<Line>, scene: &Scene<'_>, dice: &mut Dice) {
    let port = some_port(dice);
    let stranger = some_address(scene.server.addr, dice);
    let addr = stranger.unwrap_or(scene.server.addr);
    let is_extended = addr.is_ipv6() || dice.chance(40);
    let ask = if is_extended { "EPSV" } else { "PASV" };
    let ask = spelt(ask.to_owned(), dice) + line_end(dice);
    pipe.say(lines, (Role::Client, ask.as_bytes()), Vec::new(), dice);
    let answer = match (is_extended, dice.between(0..=5)) {
        (true, 0) => format!("229 Extended {}", extended(None, port, dice)),
        (true, _) => {
            format!("229 Entering Extended Passive Mode ({})", extended(None, port, dice))
        }
        (false, 0) => format!("227 ={}", commas(addr, port)),
        (false, 1) => format!("227 Entering Passive Mode. {}", commas(addr, port)),
        (false, _) => format!("227 Entering Passive Mode ({})", commas(addr, port)),
    };
    let answer = answer + line_end(dice);
    let child = Announced { addr: stranger, ..connection_to(port, None, dice) };
    pipe.say(lines, (Role::Server, answer.as_bytes()), vec![child], dice);
    if dice.chance(50) {
        pipe.say(lines, (Role::Client, b"RETR x\r\n"), Vec::new(), dice);
        pipe.say(lines, (Role::Server, b"150 here it is\r\n226 done\r\n"), Vec::new(), dice);
    }
}

fn commas(addr: IpAddr, port: u16) -> String {
    let [high, low] = port.to_be_bytes();
    match addr {
        IpAddr::V4(addr) => {
            let [a, b, c, d] = addr.octets();
            format!("{a},{b},{c},{d},{high},{low}")
        }
        IpAddr::V6(_) => format!("1,2,3,4,{high},{low}"),
    }
}

/// The extended form; a server leaves its address out.
fn extended(addr: Option<IpAddr>, port: u16, dice: &mut Dice) -> String {
    let bar = if dice.chance(85) { '|' } else { *dice.pick(&['!', ':', '$']) };
    match addr {
        Some(addr) => {
            let family = if addr.is_ipv4() { 1 } else { 2 };
            format!("{bar}{family}{bar}{addr}{bar}{port}{bar}")
        }
        None => format!("{bar}{bar}{bar}{port}{bar}"),
    }
}

fn spelt(command: String, dice: &mut Dice) -> String {
    match dice.between(0..=15) {
        0 => command.to_lowercase(),
        1 => command.replacen(' ', "  ", 1),
        2 => format!("NOOP\r\n{command}"),
        _ => command,
    }
}

fn line_end(dice: &mut Dice) -> &'static str {
    dice.weigh(&[(20, "\r\n"), (2, "\n"), (1, ""), (1, " x\r\n")])
}
