//! The C library's own functions, which ours stand in front of.
#![expect(unsafe_code, reason = "functions of the C library are called by their addresses")]

use std::ffi::CStr;
use std::mem;
use std::sync::OnceLock;

use libc::{c_int, c_ulong, c_void, msghdr, size_t, sockaddr, socklen_t, ssize_t};

/// For each function its name and type; it is looked up when it is first called.
macro_rules! real {
    ($($name:ident = $symbol:literal: fn($($type:ty),*) -> $result:ty;)*) => {$(
        pub(crate) fn $name() -> unsafe extern "C" fn($($type),*) -> $result {
            static FOUND: OnceLock<usize> = OnceLock::new();
            let address = *FOUND.get_or_init(|| next($symbol));
            // SAFETY: the C library's function of this name has this type.
            unsafe { mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $result>(address) }
        }
    )*};
}

real! {
    socket = c"socket": fn(c_int, c_int, c_int) -> c_int;
    bind = c"bind": fn(c_int, *const sockaddr, socklen_t) -> c_int;
    connect = c"connect": fn(c_int, *const sockaddr, socklen_t) -> c_int;
    getsockname = c"getsockname": fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    setsockopt = c"setsockopt": fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
    getsockopt = c"getsockopt": fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    sendto = c"sendto": fn(c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t;
    sendmsg = c"sendmsg": fn(c_int, *const msghdr, c_int) -> ssize_t;
    recvfrom = c"recvfrom": fn(c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
    recvmsg = c"recvmsg": fn(c_int, *mut msghdr, c_int) -> ssize_t;
    close = c"close": fn(c_int) -> c_int;
    dup = c"dup": fn(c_int) -> c_int;
    fcntl = c"fcntl": fn(c_int, c_int, c_ulong) -> c_int;
}

/// Where the function is that would be called without us; the process ends if there is none.
fn next(symbol: &CStr) -> usize {
    // SAFETY: the name ends with a zero.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, symbol.as_ptr()) };
    if address.is_null() {
        // Nothing that a program could do about a C library without sockets.
        std::process::abort();
    }
    address as usize
}
