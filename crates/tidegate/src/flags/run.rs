//! The command line of a gateway: `run`, `check`, `reload`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tidegate_gateway::config::Plane;

use super::InputArgs;
use super::place::EngineArgs;

/// What runs.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The gateway's file (TOML); what follows on the command line comes before what it says
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,

    /// The same
    #[arg(long, short = 'c', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// An interface to forward packets from and to; repeat it
    #[arg(long = "interface", short = 'i', value_name = "NAME", conflicts_with = "pcap")]
    pub(crate) interfaces: Vec<String>,

    /// How packets of interfaces come and go: auto, af-packet, af-xdp, tun
    #[arg(long, value_name = "PLANE", value_parser = Plane::named)]
    pub(crate) plane: Option<Plane>,

    /// Share the packets among so many threads [default: 1]
    #[arg(long, value_name = "N", env = "TIDEGATE_WORKERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,

    /// Have the kernel stop forwarding; it goes on when this ends
    #[arg(long)]
    pub(crate) take_over: bool,

    /// Look for packets for so many microseconds after the last one, before sleep: less delay, and a processor that is
    /// never idle under load [default: 0]
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) busy_poll: Option<u32>,

    /// The control socket [default: /run/tidegate.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,

    /// The control socket's mode: who may look [default: 600]
    #[arg(long, value_name = "OCTAL", value_parser = octal)]
    pub(crate) mode: Option<u32>,

    /// The number of the group that the control socket belongs to
    #[arg(long, value_name = "GID")]
    pub(crate) group: Option<u32>,

    /// The number of the group whose members may change everything; besides root and the user that runs this
    #[arg(long, value_name = "GID")]
    pub(crate) admin_group: Option<u32>,

    /// Take packets from a capture
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Play the capture as it was recorded, not as fast as it goes
    #[arg(long, requires = "pcap")]
    pub(crate) recorded_pace: bool,

    /// Write flows to this file at the end, and take them over at the next start
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// Write the packets that NFLOG rules copy to a capture, which may become as large as the file says [default: 1 GiB]
    #[arg(long, value_name = "FILE")]
    pub(crate) write_nflog: Option<PathBuf>,

    /// Say each line as a JSON object, with its time and severity
    #[arg(long, short = 'j')]
    pub(crate) json: bool,

    /// Serve figures to Prometheus at this address, such as 127.0.0.1:9465; see `tidegate exporter'
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// How many events are kept for listeners who are behind [default: 16384]
    #[arg(long, value_name = "EVENTS")]
    pub(crate) backlog: Option<usize>,

    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

/// What is checked.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The gateway's file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Whose files are read again.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Which sets change, and how.
#[derive(Debug, Args)]
pub(crate) struct SetsArgs {
    /// Lines as `ipset save' writes them and `ipset restore' reads them; standard input if there is none
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "not an octal number up to 777".to_owned())
}

pub(super) const NOTES: &str = "\
The socket speaks ctnetlink, a datagram in each packet (SOCK_SEQPACKET). SIGHUP reads rules and settings again, as does
`tidegate reload'; if a file is at fault all stays as it is, and flows stay in any case. SIGTERM and SIGINT end it.
Without an interface there are no packets, but for those of a capture.

Exit status: 0 it was told to stop, 1 a file or the socket is at fault, 2 the command line is.";

pub(super) const CHECK_NOTES: &str = "\
Reads the file and the rules, settings, sets, policies and labels that it names, and changes nothing.

Exit status: 0 all is well, perhaps with warnings; 1 something is wrong; 2 the command line is.";

pub(super) const SETS_NOTES: &str = "\
Lines such as `add blocked 192.0.2.7 timeout 600', `del blocked 192.0.2.7', `create' and `destroy'; `-exist' behind one makes
what is so already no error. They hold from the next packet on. A set that a rule or a list names can't be destroyed.

Exit status: 0 all was done; 1 some lines were not, which are told; 2 the command line is at fault; 3 not permitted; 4 there is
no such socket.";

pub(super) const RELOAD_NOTES: &str = "\
Rules and settings are read again; sets and timeout policies stay as they are. No flow is lost, and no packet: those that
come meanwhile wait. If a file is at fault nothing changes.

Exit status: 0 it was done; 1 a file is at fault; 2 the command line is; 3 not permitted; 4 there is no such socket.";
