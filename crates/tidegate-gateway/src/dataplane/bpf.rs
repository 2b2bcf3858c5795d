//! Small programs for the kernel, put together by hand and attached to an interface for as long as this process holds
//! on to them: no compiler is needed, and nothing stays behind.
#![expect(unsafe_code, reason = "bpf(2) takes addresses of programs and names")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An instruction: linux/bpf.h, RFC 9669 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction(u64);

/// A register.
pub(super) type Register = u8;

impl Instruction {
    const fn new(code: u8, (dst, src): (Register, Register), offset: i16, value: i32) -> Self {
        let registers = (src << 4 | dst) as u64;
        let (offset, value) = (offset as u16 as u64, value as u32 as u64);
        Self(code as u64 | registers << 8 | offset << 16 | value << 32)
    }

    /// `r0` is the packet's byte at this place; where there is none the program ends with 0. Wants the context in `r6`.
    pub(super) const fn packet_byte(at: i32) -> Self {
        Self::new(0x30, (0, 0), 0, at)
    }

    /// `r0` is the packet's 16 bits at this place, in the order of this machine; see [`Self::packet_byte`].
    pub(super) const fn packet_half(at: i32) -> Self {
        Self::new(0x28, (0, 0), 0, at)
    }

    /// Skips always.
    pub(super) const fn skip() -> Self {
        Self::new(0x05, (0, 0), 0, 0)
    }

    /// A test that skips this many instructions if it holds.
    pub(super) const fn over(self, instructions: usize) -> Self {
        Self(self.0 & !(0xffff << 16) | (instructions as u64 & 0xffff) << 16)
    }

    /// The two halves that put 64 bits into `dst`.
    pub(super) const fn constant(dst: Register, value: u64) -> [Self; 2] {
        [Self::new(0x18, (dst, 0), 0, value as i32), Self((value >> 32) << 32)]
    }

    /// The two halves that put the address of a map into `dst`.
    pub(super) fn map(dst: Register, map: BorrowedFd<'_>) -> [Self; 2] {
        [Self::new(0x18, (dst, 1), 0, map.as_raw_fd()), Self(0)]
    }

    /// Calls a helper of the kernel's.
    pub(super) const fn call(helper: i32) -> Self {
        Self::new(0x85, (0, 0), 0, helper)
    }

    /// Ends with what is in `r0`.
    pub(super) const EXIT: Self = Self::new(0x95, (0, 0), 0, 0);

    /// Its bits, as the kernel takes it.
    #[cfg(test)]
    pub(super) const fn bits(self) -> u64 {
        self.0
    }
}

/// Instructions of one form, by their codes.
macro_rules! instructions {
    ($make:ident $operands:tt; $($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl Instruction {
            $(instructions! { @ [$(#[$doc])*] $make $operands $name $code })*
        }
    };
    (@ [$($doc:tt)*] $make:ident ($($operand:ident: $type:ty),*) $name:ident $code:literal) => {
        $($doc)*
        pub(super) const fn $name($($operand: $type),*) -> Self {
            $make($code, $($operand),*)
        }
    };
}

const fn of_value(code: u8, dst: Register, value: i32) -> Instruction {
    Instruction::new(code, (dst, 0), 0, value)
}

const fn of_registers(code: u8, dst: Register, src: Register) -> Instruction {
    Instruction::new(code, (dst, src), 0, 0)
}

const fn of_memory(code: u8, dst: Register, src: Register, offset: i16) -> Instruction {
    Instruction::new(code, (dst, src), offset, 0)
}

instructions! {
    of_value (dst: Register, value: i32);
    /// `dst = value`
    set = 0xb7,
    /// `dst += value`
    add = 0x07,
    /// `dst *= value`
    times = 0x27,
    /// `dst &= value`
    mask = 0x57,
    /// `dst <<= value`
    left = 0x67,
    /// `dst >>= value`
    right = 0x77,
    /// Skips instructions ([`Instruction::over`]) if `dst` is `value`.
    if_equal = 0x15,
    /// Skips if it is not.
    if_other = 0x55,
    /// Skips if it is more.
    if_more = 0x25,
}

instructions! {
    of_registers (dst: Register, src: Register);
    /// `dst = src`
    copy = 0xbf,
    /// `dst += src`
    add_register = 0x0f,
    /// `dst |= src`
    or = 0x4f,
    /// `dst ^= src`
    xor = 0xaf,
    /// Skips if `dst` is more than `src`.
    if_beyond = 0x2d,
}

instructions! {
    of_memory (dst: Register, src: Register, offset: i16);
    /// `dst = *(u32 *)(src + offset)`
    load = 0x61,
    /// `dst = *(u16 *)(src + offset)`
    load_half = 0x69,
    /// `dst = *(u8 *)(src + offset)`
    load_byte = 0x71,
}

/// Where a test jumps to if it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Nowhere: it is no test.
    On,
    /// To the verdict.
    Verdict,
    /// Past it.
    Pass,
}

/// A program of steps, a verdict, and what is done instead of it.
pub(super) fn aimed(
    steps: Vec<(Instruction, Aim)>,
    verdict: &[Instruction],
    rest: &[Instruction],
) -> Vec<Instruction> {
    let (end, pass) = (steps.len(), steps.len() + verdict.len());
    let steps = steps.into_iter().enumerate().map(|(at, (step, aim))| match aim {
        Aim::On => step,
        Aim::Verdict => step.over(end - at - 1),
        Aim::Pass => step.over(pass - at - 1),
    });
    steps.chain(verdict.iter().copied()).chain(rest.iter().copied()).collect()
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// Packets that come by an interface, before the kernel's stack.
    Ingress,
    /// Packets that leave by it.
    Egress,
    /// Frames that come by it, in the driver or, `generic`, behind it.
    Xdp {
        /// Behind the driver.
        generic: bool,
    },
}

impl Hook {
    /// `BPF_PROG_TYPE_*`, and the `BPF_*` to attach as.
    fn kinds(self) -> (u32, u32) {
        match self {
            Self::Ingress => (3, 46),
            Self::Egress => (3, 47),
            Self::Xdp { .. } => (6, 37),
        }
    }

    fn flags(self) -> u32 {
        match self {
            Self::Ingress | Self::Egress => 0,
            Self::Xdp { generic: true } => 1 << 1,
            Self::Xdp { generic: false } => 1 << 2,
        }
    }
}

const PROG_LOAD: i32 = 5;
const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const LINK_CREATE: i32 = 28;

/// `BPF_PROG_LOAD` of linux/bpf.h, as far as we use it.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Create {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 4],
}

/// `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Map {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    rest: [u32; 5],
}

/// `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
#[derive(Default)]
struct Update {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// bpf(2) with a command's arguments.
fn bpf<T>(command: i32, attributes: &T) -> io::Result<i64> {
    let (at, len) = (std::ptr::from_ref(attributes), size_of::<T>());
    // SAFETY: the kernel reads `len` bytes, which are the arguments of this command; the addresses in them are of values
    // that the callers hold for the length of the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, at, len) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn owned(answer: i64) -> OwnedFd {
    // SAFETY: these commands answer with a descriptor that was just made.
    unsafe { OwnedFd::from_raw_fd(answer as i32) }
}

/// Loads a program and attaches it to an interface. It stays while the descriptor is open.
///
/// # Errors
/// The kernel refuses: it is too old, or we may not (CAP_BPF, CAP_NET_ADMIN), or the hook is taken.
pub(super) fn attach(program: &[Instruction], hook: Hook, index: u32) -> io::Result<OwnedFd> {
    let (_, attach_type) = hook.kinds();
    let program = load(program, hook.kinds())?;
    let create = Create {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: index,
        attach_type,
        flags: hook.flags(),
        ..Create::default()
    };
    bpf(LINK_CREATE, &create).map(owned)
}

/// Loads a program that chooses among queues or sockets (`BPF_PROG_TYPE_SOCKET_FILTER`).
///
/// # Errors
/// The kernel refuses: see [`attach`].
pub(super) fn load_chooser(program: &[Instruction]) -> io::Result<OwnedFd> {
    load(program, (1, 0))
}

fn load(
    program: &[Instruction],
    (prog_type, expected_attach_type): (u32, u32),
) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let load = Load {
        prog_type,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_name: *b"tidegate\0\0\0\0\0\0\0\0",
        expected_attach_type,
        ..Load::default()
    };
    bpf(PROG_LOAD, &load).map(owned)
}

/// A map of sockets, by the number of the queue that they take frames of (`BPF_MAP_TYPE_XSKMAP`).
pub(super) fn socket_map(queues: u32) -> io::Result<OwnedFd> {
    let map =
        Map { map_type: 17, key_size: 4, value_size: 4, max_entries: queues, ..Map::default() };
    bpf(MAP_CREATE, &map).map(owned)
}

/// Puts a socket into a map.
pub(super) fn set_socket(map: &OwnedFd, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    let value = socket.as_raw_fd();
    let update = Update {
        map_fd: map.as_fd().as_raw_fd() as u32,
        key: &raw const queue as u64,
        value: &raw const value as u64,
        ..Update::default()
    };
    bpf(MAP_UPDATE_ELEM, &update).map(drop)
}
