//! Services that need no more than a question and an answer: TFTP, Amanda, NetBIOS names.

use super::{Act, Announced, Pipe, Scene, connection_to, datagrams_to, some_port};
use crate::campaign::dice::Dice;
use crate::campaign::traffic::script::Role;

/// TFTP (RFC 1350): the server answers from another port.
pub(super) fn tftp(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut lines = Vec::new();
    for _ in 0..dice.between(1..=2) {
        let code = *dice.pick(&[1, 1, 2, 2, 3, 5]);
        let ask = [&[0, code][..], b"file\0octet\0"].concat();
        let answer = Announced { port: None, ..datagrams_to(0, None, dice) };
        Pipe::Datagrams.say(&mut lines, (Role::Client, &ask), vec![answer], dice);
    }
    if dice.chance(20) {
        let answer = vec![datagrams_to(some_port(dice), None, dice)];
        Pipe::Datagrams.say(&mut lines, (Role::Server, b"\0\x01no\0octet\0"), answer, dice);
    }
    Act { lines, then: None }
}

/// Amanda: the answer names the ports of up to four connections.
pub(super) fn amanda(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut lines = Vec::new();
    let ask = b"Amanda 2.5 REQ HANDLE 000-1 SEQ 1\nSERVICE sendbackup\n";
    Pipe::Datagrams.say(&mut lines, (Role::Client, ask), Vec::new(), dice);
    let mut answer = "Amanda 2.5 REP HANDLE 000-1 SEQ 1\nCONNECT".to_owned();
    let mut opens = Vec::new();
    for word in ["DATA", "MESG", "INDEX", "STATE"] {
        if dice.chance(75) {
            let port = some_port(dice);
            answer += &format!(" {word} {port}");
            opens.extend(dice.chance(70).then(|| connection_to(port, None, dice)));
        }
    }
    answer += if dice.chance(90) { "\nOPTIONS ;\n" } else { "" };
    Pipe::Datagrams.say(&mut lines, (Role::Server, answer.as_bytes()), opens, dice);
    Act { lines, then: None }
}

/// A name query and its answer (RFC 1002), as bytes that nobody reads.
pub(super) fn netbios(_: &Scene<'_>, dice: &mut Dice) -> Act {
    let mut lines = Vec::new();
    Pipe::Datagrams.say(&mut lines, (Role::Client, &[0x80; 50]), Vec::new(), dice);
    Pipe::Datagrams.say(&mut lines, (Role::Server, &[0x85; 62]), Vec::new(), dice);
    Act { lines, then: None }
}
