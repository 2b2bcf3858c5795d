//! libc's own functions, which [`calls`](crate::calls) hide from the program.
//!
//! Unsafe code: functions are found by name; their types are those of the C headers.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::sync::OnceLock;

use libc::{msghdr, size_t, sockaddr, socklen_t, ssize_t};

macro_rules! own {
    ($($name:ident: fn($($argument:ty),*) -> $result:ty;)*) => {
        $(
            /// libc's function of this name.
            pub(crate) fn $name() -> unsafe extern "C" fn($($argument),*) -> $result {
                static FOUND: OnceLock<usize> = OnceLock::new();
                let name = concat!(stringify!($name), "\0");
                let found = *FOUND.get_or_init(|| find(name));
                // SAFETY: the address is that of a function of this name, whose C type is written here; `find` gives
                // no null.
                unsafe { mem::transmute(found) }
            }
        )*
    };
}

own! {
    socket: fn(c_int, c_int, c_int) -> c_int;
    bind: fn(c_int, *const sockaddr, socklen_t) -> c_int;
    connect: fn(c_int, *const sockaddr, socklen_t) -> c_int;
    getsockname: fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    getpeername: fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    getsockopt: fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    setsockopt: fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
    sendto: fn(c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t;
    sendmsg: fn(c_int, *const msghdr, c_int) -> ssize_t;
    recvfrom: fn(c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
    recvmsg: fn(c_int, *mut msghdr, c_int) -> ssize_t;
    close: fn(c_int) -> c_int;
    dup: fn(c_int) -> c_int;
    dup2: fn(c_int, c_int) -> c_int;
    dup3: fn(c_int, c_int, c_int) -> c_int;
    fcntl: fn(c_int, c_int, usize) -> c_int;
}

/// The address of a function in the libraries behind this one. Without libc there is nothing to be done.
fn find(name: &str) -> usize {
    let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default();
    // SAFETY: the name ends with a zero byte, and `RTLD_NEXT` is a handle that is always good.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        std::process::abort();
    }
    found as usize
}

/// Fails a call as C does.
pub(crate) fn fail(errno: c_int) -> c_int {
    // SAFETY: it is the address of this thread's `errno`.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// Why the last call failed.
pub(crate) fn errno() -> c_int {
    // SAFETY: it is the address of this thread's `errno`.
    unsafe { *libc::__errno_location() }
}
