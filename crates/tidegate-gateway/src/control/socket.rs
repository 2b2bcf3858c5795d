//! The control socket: a Unix socket of kind SOCK_SEQPACKET, a datagram of netlink in each of its packets.
//!
//! Who may connect is the file system's business: the socket has a mode and a group. Who may change anything is
//! settled when a client comes, by the user and group that the kernel says it has (`SO_PEERCRED`): the superuser, the
//! server's own user, and members of one group. Nothing here blocks: [`Endpoint::serve`] does what can be done, and
//! [`Endpoint::interests`] says what to wait for.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, connect, listen, recv, send, socket_with, sockopt,
};
use tidegate_engine::time::Instant;

use super::engines::Engines;
use super::server::{Server, SessionId};
use super::session::Access;

/// Who may do what.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The socket's mode.
    pub mode: u32,
    /// The group that it belongs to, whose members may look, if the mode lets them in.
    pub group: Option<u32>,
    /// The group whose members may do everything.
    pub admin_group: Option<u32>,
}

impl Default for Policy {
    /// Nobody but the server's own user.
    fn default() -> Self {
        Self { mode: 0o600, group: None, admin_group: None }
    }
}

/// Why there is no socket.
#[derive(Debug)]
pub struct BindError {
    /// Its path.
    pub path: PathBuf,
    /// What went wrong.
    pub cause: BindCause,
}

/// What went wrong.
#[derive(Debug)]
pub enum BindCause {
    /// Somebody serves it already.
    InUse,
    /// There is something else of this name.
    NotASocket,
    /// The system refuses.
    System(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.cause {
            BindCause::InUse => f.write_str("another server is there"),
            BindCause::NotASocket => f.write_str("this is something else than a socket"),
            BindCause::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {}

impl From<Errno> for BindCause {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl From<io::Error> for BindCause {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// The socket and the clients that came by it. Its file goes with it.
#[derive(Debug)]
pub struct Endpoint {
    path: PathBuf,
    listener: OwnedFd,
    policy: Policy,
    clients: BTreeMap<SessionId, Client>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// The socket takes no more at the moment.
    is_stuck: bool,
}

/// What has become of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Leaves,
}

/// So many clients, and no more.
const MOST_CLIENTS: usize = 256;
/// Places that those who may only look can't take.
const ADMIN_PLACES: usize = 32;
/// So many are let in before it is another's turn.
const GUESTS_AT_ONCE: usize = 16;
/// The longest request.
const LONGEST: usize = 1 << 16;
/// What the kernel may keep for a client that doesn't read.
const SEND_BUFFER: usize = 1 << 20;
/// So many datagrams are read or sent for a client before it is another's turn.
const AT_ONCE: usize = 32;
/// So many bytes of requests, too.
const BYTES_AT_ONCE: usize = 1 << 13;

impl Endpoint {
    /// Makes the socket. One that nobody serves any more is replaced.
    ///
    /// # Errors
    /// Somebody does, or the system refuses.
    pub fn bind(path: &Path, policy: Policy) -> Result<Self, BindError> {
        let listener =
            prepared(path, policy).map_err(|cause| BindError { path: path.to_owned(), cause })?;
        let (path, clients) = (path.to_owned(), BTreeMap::new());
        Ok(Self { path, listener, policy, clients, buffer: vec![0; LONGEST] })
    }

    /// What to wait for: that somebody comes, that somebody who may has asked something, that somebody reads on.
    pub fn interests<'a>(&'a self, server: &Server) -> Vec<PollFd<'a>> {
        let clients = self.clients.iter().map(|(id, client)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, server.is_ready(*id));
            flags.set(PollFlags::OUT, client.is_stuck);
            PollFd::new(&client.socket, flags)
        });
        [PollFd::new(&self.listener, PollFlags::IN)].into_iter().chain(clients).collect()
    }

    /// The same while nobody is listened to: that somebody reads on.
    pub fn outlets(&self) -> Vec<PollFd<'_>> {
        let stuck = self.clients.values().filter(|client| client.is_stuck);
        stuck.map(|client| PollFd::new(&client.socket, PollFlags::OUT)).collect()
    }

    /// Sends what is there to be sent, and listens to nobody.
    pub fn send(&mut self, server: &mut Server) {
        self.clients.retain(|id, client| {
            let stays = client.write(server, *id) == Fate::Stays;
            if !stays {
                server.close(*id);
            }
            stays
        });
    }

    /// Whether something can be sent at once.
    pub fn is_busy(&self, server: &Server) -> bool {
        self.clients.iter().any(|(id, client)| !client.is_stuck && server.has_for(*id))
    }

    /// Takes in who has come, reads what was asked, goes on with what is going on, and sends what is there to be sent.
    /// Whether there is more to do at once.
    pub fn serve(&mut self, server: &mut Server, engines: &mut Engines<'_>, now: Instant) -> bool {
        self.accept(server);
        let Self { clients, buffer, .. } = self;
        clients.retain(|id, client| {
            let read = client.read((server, engines), now, *id, buffer);
            let written = client.write(server, *id);
            let stays = read == Fate::Stays && written == Fate::Stays;
            if !stays {
                server.close(*id);
            }
            stays
        });
        server.work(engines, now);
        for (id, client) in clients {
            // Who is gone is noticed with the next turn.
            let _ = client.write(server, *id);
        }
        server.has_work() || self.is_busy(server)
    }

    fn accept(&mut self, server: &mut Server) {
        const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
        for _ in 0..GUESTS_AT_ONCE {
            let Ok(socket) = accept_with(&self.listener, FLAGS) else { break };
            let Ok(access) = self.access(&socket) else { continue };
            let places = match access {
                Access::Admin => MOST_CLIENTS,
                Access::ReadOnly => MOST_CLIENTS - ADMIN_PLACES,
            };
            if self.clients.len() >= places {
                continue;
            }
            // A smaller buffer serves as well.
            let _ = sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER);
            self.clients.insert(server.open(access), Client { socket, is_stuck: false });
        }
    }

    fn access(&self, socket: &OwnedFd) -> rustix::io::Result<Access> {
        let peer = sockopt::socket_peercred(socket)?;
        let is_own = peer.uid.is_root() || peer.uid == rustix::process::geteuid();
        let is_admin = self.policy.admin_group == Some(peer.gid.as_raw());
        Ok(if is_own || is_admin { Access::Admin } else { Access::ReadOnly })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // It may have been removed already.
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    fn read(
        &mut self,
        (server, engines): (&mut Server, &mut Engines<'_>),
        now: Instant,
        id: SessionId,
        buffer: &mut [u8],
    ) -> Fate {
        let mut bytes = 0;
        for _ in 0..AT_ONCE {
            if !server.is_ready(id) || bytes >= BYTES_AT_ONCE {
                break;
            }
            let datagram = match recv(&self.socket, &mut *buffer, RecvFlags::TRUNC) {
                // A datagram that is too long is cut, and then no message.
                Ok((_, len)) if len == 0 || len > LONGEST => return Fate::Leaves,
                Ok((_, len)) => &buffer[..len],
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(_) => return Fate::Leaves,
            };
            bytes += datagram.len();
            if server.receive(&mut *engines, now, id, datagram).is_err() {
                // What came before is answered, as far as the socket takes it.
                self.write(server, id);
                return Fate::Leaves;
            }
        }
        Fate::Stays
    }

    fn write(&mut self, server: &mut Server, id: SessionId) -> Fate {
        self.is_stuck = false;
        for _ in 0..AT_ONCE {
            let Some(datagram) = server.next_for(id) else { break };
            match send(&self.socket, datagram, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) => server.sent(id),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => {
                    self.is_stuck = true;
                    break;
                }
                Err(_) => return Fate::Leaves,
            }
        }
        Fate::Stays
    }
}

fn prepared(path: &Path, policy: Policy) -> Result<OwnedFd, BindCause> {
    let address = SocketAddrUnix::new(path)?;
    make_way(path, &address)?;
    let listener = new_socket()?;
    bind(&listener, &address)?;
    let restricted = restrict(path, policy);
    if let Err(error) = restricted {
        // It was ours.
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    listen(&listener, 64)?;
    Ok(listener)
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Nobody can connect before the socket listens, so there is no moment with a wrong mode.
fn restrict(path: &Path, policy: Policy) -> io::Result<()> {
    if let Some(group) = policy.group {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    fs::set_permissions(path, Permissions::from_mode(policy.mode))
}

/// Removes what a server left that is no more.
fn make_way(path: &Path, address: &SocketAddrUnix) -> Result<(), BindCause> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(BindCause::NotASocket);
    }
    let probe = new_socket()?;
    match connect(probe.as_fd(), address) {
        Err(Errno::CONNREFUSED) => Ok(fs::remove_file(path)?),
        Ok(()) | Err(Errno::AGAIN) => Err(BindCause::InUse),
        Err(error) => Err(error.into()),
    }
}
