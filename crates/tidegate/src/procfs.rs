//! What the files of `tidegate procfs` say: a table's answers in the words of `/proc`.
//!
//! Each file that is opened is a conversation of its own with the table. A listing is asked for on a thread and goes
//! through a pipe, so that it is made as fast as it is read and never kept.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Cursor, PipeReader, Read, Write};
use std::thread::{self, JoinHandle};

use tidegate_gateway::procfs::{File, Setting, Source};
use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{conntrack, expect, stats};

use crate::client::{ClientError, Expected, Flow, Place, Request, Settings, Table};
use crate::cmd::{Failure, count, stats as counters};
use crate::present;
use crate::render::counters::PerCpu;
use crate::render::flow::Words;
use crate::render::flow::proc::{self, View};

/// The files of a table.
#[derive(Clone, Debug)]
pub(crate) struct TableFiles {
    /// Which one.
    pub(crate) place: Place,
}

impl Source for TableFiles {
    fn settings(&self) -> io::Result<Vec<Setting>> {
        let all = Settings::of(&self.place).and_then(|mut settings| settings.all());
        let mut names: Vec<String> =
            all.map_err(as_io)?.into_iter().map(|(name, _)| name).collect();
        // One is known by two names and listed by one; the other is no setting, but a file among them.
        for name in [MAX, COUNT] {
            if !names.iter().any(|known| known == name) && self.setting(name).is_ok() {
                names.push(name.to_owned());
            }
        }
        let setting =
            |name: String| Setting { is_writable: name != COUNT, name: name.replace('.', "/") };
        Ok(names.into_iter().map(setting).collect())
    }

    fn open(&self, file: File<'_>) -> io::Result<Box<dyn Read + Send>> {
        Ok(match file {
            File::Flows => Box::new(Listing::begin(self.clone(), Self::list_flows)?),
            File::Expectations => Box::new(Listing::begin(self.clone(), Self::list_expectations)?),
            File::Statistics => Box::new(Cursor::new(self.statistics().map_err(failed)?)),
            File::Setting(name) => {
                let value = self.setting(&name.replace('/', ".")).map_err(as_io)?;
                Box::new(Cursor::new(format!("{value}\n")))
            }
        })
    }

    fn write(&self, setting: &str, value: &str) -> io::Result<()> {
        let mut settings = Settings::of(&self.place).map_err(as_io)?;
        settings.set(&setting.replace('/', "."), value.trim()).map_err(as_io)
    }
}

impl TableFiles {
    fn setting(&self, name: &str) -> Result<String, ClientError> {
        match (name, &self.place) {
            (COUNT, Place::Engine(_) | Place::File(_)) => {
                Ok(count::counts(&mut Table::open(&self.place)?)?.entries.to_string())
            }
            _ => Settings::of(&self.place)?.value(name),
        }
    }

    fn list_flows(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let gre = GRE.map(|name| self.setting(name).ok().and_then(|text| text.parse().ok()));
        let view = View { now: present::time_of_day(), gre: gre.map(Option::unwrap_or_default) };
        let request =
            Request::new(Subsystem::Conntrack, conntrack::message::GET, Family::default());
        let mut line = Words::default();
        Table::open(&self.place)?.dump(&request, |message| {
            line.0.clear();
            proc::write(&mut line, &Flow::parse(message)?, &view);
            Ok::<_, Failure>(out.write_all(&line.0)?)
        })
    }

    fn list_expectations(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let request = Request::new(Subsystem::Expect, expect::message::GET, Family::default());
        let mut line = Words::default();
        Table::open(&self.place)?.dump(&request, |message| {
            line.0.clear();
            proc::write_expected(&mut line, &Expected::parse(message)?);
            Ok::<_, Failure>(out.write_all(&line.0)?)
        })
    }

    fn statistics(&self) -> Result<String, Failure> {
        let mut table = Table::open(&self.place)?;
        let entries = count::counts(&mut table)?.entries;
        Ok(statistics(entries, &counters::read(&mut table)?))
    }
}

/// `/proc/net/stat/nf_conntrack`: a row for each processor. The counters that the kernel has given up are 0 there.
fn statistics(entries: u32, counters: &PerCpu) -> String {
    let mut text = format!("{HEAD}\n");
    for (cpu, flows) in &counters.flows {
        let expected = counters.expectations.iter().find(|(other, _)| other == cpu);
        let of = |name: &str| {
            let find = |known: &[stats::Counter], values: &[u32]| {
                known.iter().position(|counter| counter.name == name).map(|index| values[index])
            };
            let expected = expected.and_then(|(_, values)| find(&stats::EXPECT, values));
            find(&stats::CONNTRACK, flows).or(expected).unwrap_or(0)
        };
        for (index, name) in COLUMNS.into_iter().enumerate() {
            let value = if index == 0 { entries } else { of(name) };
            let gap = match index {
                0 => "",
                // Where the head has two blanks as well.
                1 | 13 => "  ",
                _ => " ",
            };
            let _ = write!(text, "{gap}{value:08x}");
        }
        text.push('\n');
    }
    text
}

const HEAD: &str = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop \
                    early_drop icmp_error  expect_new expect_create expect_delete search_restart";
/// The counters in the columns of that.
const COLUMNS: [&str; 17] = [
    "",
    "clash_resolve",
    "found",
    "",
    "invalid",
    "",
    "",
    "chaintoolong",
    "insert",
    "insert_failed",
    "drop",
    "early_drop",
    "error",
    "expect_new",
    "expect_create",
    "expect_delete",
    "search_restart",
];
const MAX: &str = "net.nf_conntrack_max";
const COUNT: &str = "net.netfilter.nf_conntrack_count";
const GRE: [&str; 2] =
    ["net.netfilter.nf_conntrack_gre_timeout", "net.netfilter.nf_conntrack_gre_timeout_stream"];

/// A listing on its way.
struct Listing {
    text: PipeReader,
    /// Who makes it; gone when it has been heard.
    maker: Option<JoinHandle<Result<(), Failure>>>,
}

impl Listing {
    fn begin(
        files: TableFiles,
        make: impl FnOnce(&TableFiles, &mut dyn Write) -> Result<(), Failure> + Send + 'static,
    ) -> io::Result<Self> {
        let (text, sink) = io::pipe()?;
        let maker = thread::Builder::new().name("listing".to_owned()).spawn(move || {
            let mut sink = BufWriter::with_capacity(1 << 16, sink);
            make(&files, &mut sink)?;
            Ok(sink.flush()?)
        })?;
        Ok(Self { text, maker: Some(maker) })
    }
}

impl Read for Listing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(into)?;
        if count == 0
            && !into.is_empty()
            && let Some(maker) = self.maker.take()
        {
            let made = maker.join().map_err(|_| io::Error::from(io::ErrorKind::Other))?;
            made.map_err(failed)?;
        }
        Ok(count)
    }
}

fn failed(failure: Failure) -> io::Error {
    match failure {
        Failure::Table(error) => as_io(error),
        Failure::Output(error) => error,
        _ => io::ErrorKind::Other.into(),
    }
}

/// What the system or the table said, as the system would say it.
fn as_io(error: ClientError) -> io::Error {
    match error {
        ClientError::Refused(errno) => errno.into(),
        ClientError::Socket { error, .. }
        | ClientError::Namespace { error, .. }
        | ClientError::File { error, .. }
        | ClientError::Netlink(error)
        | ClientError::Broken(error) => error,
        ClientError::NoSetting(_) => io::ErrorKind::NotFound.into(),
        ClientError::Snapshot(_) => io::ErrorKind::InvalidData.into(),
        ClientError::ReadOnly(_) => io::ErrorKind::ReadOnlyFilesystem.into(),
        ClientError::Closed | ClientError::Garbled(_) => io::ErrorKind::ConnectionReset.into(),
    }
}
