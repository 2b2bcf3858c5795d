//! Which table is meant: the kernel's in some network namespace, an engine's behind a socket, or one in a file.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::ClientError;
use super::saved::Saved;
use super::socket::Socket;
use crate::present::time_of_day;

/// A table that can be spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The kernel's, in the network namespace of this name, process or path; `None`: in our own.
    Kernel(Option<String>),
    /// An engine's, behind the control socket of this path.
    Engine(PathBuf),
    /// One that was written down.
    File(Saved),
}

impl Place {
    /// Goes into the network namespace, if one is named. What the calling thread opens afterwards, sockets and files
    /// below `/proc/sys/net`, belongs there. Tells an engine's place only from the kernel's.
    ///
    /// # Errors
    /// There is no such namespace, or it may not be entered.
    pub(crate) fn enter(&self) -> Result<(), ClientError> {
        let Self::Kernel(Some(name)) = self else { return Ok(()) };
        let path = namespace_path(name);
        let at = |error| ClientError::Namespace { path: path.clone(), error };
        let file = File::open(&path).map_err(at)?;
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), network).map_err(|errno| at(errno.into()))
    }

    /// Opens a socket. The kernel's hears the multicast groups of `mask`, where group 1 is the lowest bit; an engine is
    /// told of them by a message.
    ///
    /// # Errors
    /// The kernel knows no netfilter, nobody listens on the path, or it is not for us.
    pub(super) fn open(&self, mask: u32) -> Result<Socket, ClientError> {
        match self {
            Self::Kernel(_) => open_kernel(mask),
            Self::Engine(path) => open_engine(path),
            Self::File(saved) => Err(ClientError::ReadOnly(saved.path.clone())),
        }
    }

    /// The moment that the table is of, in nanoseconds since 1970: the present, but for a file.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn now(&self) -> Result<u64, ClientError> {
        match self {
            Self::Kernel(_) | Self::Engine(_) => Ok(time_of_day()),
            Self::File(saved) => saved.opening().map(|opening| opening.time),
        }
    }
}

/// A number is a process, what has a slash is a path, all else is a name that `ip netns` gave.
fn namespace_path(name: &str) -> PathBuf {
    if name.contains('/') {
        return PathBuf::from(name);
    }
    match name.parse::<u32>() {
        Ok(process) => PathBuf::from(format!("/proc/{process}/ns/net")),
        Err(_) => Path::new(NAMED_NAMESPACES).join(name),
    }
}

fn open_kernel(mask: u32) -> Result<Socket, ClientError> {
    let at = |errno: rustix::io::Errno| ClientError::Netlink(errno.into());
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let protocol = Some(netlink::NETFILTER);
    let socket =
        rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol).map_err(at)?;
    if mask != 0 {
        // Only the machine's own root may have more than the system's limit.
        sockopt::set_socket_recv_buffer_size_force(&socket, EVENT_BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, EVENT_BUFFER))
            .map_err(at)?;
    }
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, mask)).map_err(at)?;
    Ok(Socket::new(socket))
}

fn open_engine(path: &Path) -> Result<Socket, ClientError> {
    let at =
        |errno: rustix::io::Errno| ClientError::Socket { path: path.into(), error: errno.into() };
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(at)?;
    let address = SocketAddrUnix::new(path).map_err(at)?;
    rustix::net::connect(&socket, &address).map_err(at)?;
    Ok(Socket::new(socket))
}

/// Where `ip netns` keeps namespaces.
const NAMED_NAMESPACES: &str = "/run/netns";
/// Room for some ten thousand events between two looks.
const EVENT_BUFFER: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_a_name_a_process_or_a_path() {
        let rows = [
            ("blue", "/run/netns/blue"),
            ("1", "/proc/1/ns/net"),
            ("1a", "/run/netns/1a"),
            ("/proc/self/ns/net", "/proc/self/ns/net"),
            ("./here", "./here"),
        ];
        for (name, expected) in rows {
            assert_eq!(namespace_path(name), Path::new(expected), "{name}");
        }
    }
}
