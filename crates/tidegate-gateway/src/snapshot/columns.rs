//! Many byte strings that look alike, kept as columns.
//!
//! What a table says of two flows of a kind has the same attributes at the same places, and differs in few bytes. So
//! strings of one *shape* (which attributes, how long) share a template; of each byte that isn't the same in all, the
//! values of all strings stand together, where a compressor finds that they hardly change; and a column that equals
//! an earlier one, as most of a reply's tuple equals the original's, is only named. Nothing is interpreted: what goes
//! in comes out, byte for byte.
//!
//! ```text
//! count u32 | shape of each string, u8 | shapes u8 | shape ...
//! shape:  len u16, count u32, template, how each byte is kept (u8: SAME, OWN, LIKE), those of LIKE u16, columns of OWN
//! ```
//! Numbers are little-endian.

/// Strings that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Columns {
    shapes: Vec<Shape>,
    /// The shape of each string.
    order: Vec<u8>,
    bytes: usize,
}

/// The strings of one shape.
#[derive(Debug)]
struct Shape {
    key: u64,
    len: usize,
    strings: Vec<u8>,
}

impl Columns {
    /// Takes a string in, which is not empty and shorter than 64 KiB; those of the same key should look alike.
    pub(super) fn push(&mut self, key: u64, string: &[u8]) {
        let is_alike = |shape: &Shape| shape.key == key && shape.len == string.len();
        let known = self.shapes.iter().position(is_alike);
        let index = known.unwrap_or_else(|| {
            self.shapes.push(Shape { key, len: string.len(), strings: Vec::new() });
            self.shapes.len() - 1
        });
        self.shapes[index].strings.extend_from_slice(string);
        self.order.push(index as u8);
        self.bytes += string.len();
    }

    /// Whether there is no string.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether it is time to write them.
    pub(super) fn is_full(&self) -> bool {
        self.order.len() >= STRINGS || self.bytes >= BYTES || self.shapes.len() >= SHAPES
    }

    /// Writes them behind what is in `out`, and forgets them.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.order.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.order);
        out.push(self.shapes.len() as u8);
        for shape in &self.shapes {
            shape.write(out);
        }
        *self = Self::default();
    }
}

impl Shape {
    fn write(&self, out: &mut Vec<u8>) {
        let count = self.strings.len().checked_div(self.len).unwrap_or(0);
        out.extend_from_slice(&(self.len as u16).to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
        out.extend_from_slice(&self.strings[..self.len]);
        let columns = self.own_columns();
        let kinds = self.kinds(&columns);
        out.extend(kinds.iter().map(Kind::number));
        for kind in &kinds {
            if let Kind::Like(other) = kind {
                out.extend_from_slice(&other.to_le_bytes());
            }
        }
        for (column, kind) in columns.iter().zip(&kinds) {
            if let (Some(column), Kind::Own) = (column, kind) {
                out.extend_from_slice(column);
            }
        }
    }

    /// The values of each byte that isn't the same in all strings.
    fn own_columns(&self) -> Vec<Option<Vec<u8>>> {
        let template = &self.strings[..self.len];
        let mut differs = vec![0_u8; self.len];
        for string in self.strings.chunks_exact(self.len) {
            for ((differ, byte), same) in differs.iter_mut().zip(string).zip(template) {
                *differ |= byte ^ same;
            }
        }
        let column = |at: usize| self.strings.iter().skip(at).step_by(self.len).copied().collect();
        let of = |(at, differ): (usize, &u8)| (*differ != 0).then(|| column(at));
        differs.iter().enumerate().map(of).collect()
    }

    fn kinds(&self, columns: &[Option<Vec<u8>>]) -> Vec<Kind> {
        let like = |at: usize, column: &Vec<u8>| {
            columns[..at].iter().position(|earlier| earlier.as_ref() == Some(column))
        };
        let of = |(at, column): (usize, &Option<Vec<u8>>)| match column {
            None => Kind::Same,
            Some(column) => like(at, column).map_or(Kind::Own, |other| Kind::Like(other as u16)),
        };
        columns.iter().enumerate().map(of).collect()
    }
}

/// How a byte of all strings of a shape is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is the template's.
    Same,
    /// In a column of its own.
    Own,
    /// As the byte at this place.
    Like(u16),
}

impl Kind {
    fn number(&self) -> u8 {
        match self {
            Self::Same => 0,
            Self::Own => 1,
            Self::Like(_) => 2,
        }
    }
}

/// What was written isn't columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotColumns;

/// Reads strings back, one after the other.
#[derive(Debug)]
pub(super) struct Strings<'a> {
    data: &'a [u8],
    order: std::slice::Iter<'a, u8>,
    shapes: Vec<Cursor>,
}

/// The strings of one shape, and how many of them were read.
#[derive(Debug)]
struct Cursor {
    string: Vec<u8>,
    /// Where which byte's column begins.
    columns: Vec<(u16, u32)>,
    at: usize,
    count: usize,
}

impl<'a> Strings<'a> {
    /// Those in `data`.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, NotColumns> {
        let mut reader = Bytes { data, at: 0 };
        let count = reader.u32()? as usize;
        let order = reader.take(count)?;
        let shapes = reader.u8()?;
        let shapes = (0..shapes).map(|_| Cursor::parse(&mut reader)).collect::<Result<_, _>>()?;
        Ok(Self { data, order: order.iter(), shapes })
    }

    /// The next one; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, NotColumns> {
        let Some(shape) = self.order.next() else { return Ok(None) };
        let shape = self.shapes.get_mut(usize::from(*shape)).ok_or(NotColumns)?;
        shape.next(self.data).map(Some)
    }
}

impl Cursor {
    fn parse(reader: &mut Bytes<'_>) -> Result<Self, NotColumns> {
        let len = usize::from(reader.u16()?);
        let count = reader.u32()? as usize;
        let string = reader.take(len)?.to_vec();
        let kinds = reader.take(len)?;
        let likes = kinds.iter().filter(|kind| **kind == 2).count();
        let mut likes = reader.take(2 * likes)?.chunks_exact(2);
        let mut starts = vec![None; len];
        let mut end = reader.at;
        for (at, kind) in kinds.iter().enumerate() {
            starts[at] = match kind {
                0 => None,
                1 => {
                    let start = end;
                    end = start.saturating_add(count);
                    Some(start)
                }
                2 => {
                    let other =
                        likes.next().map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]));
                    let known = starts.get(usize::from(other)).copied().flatten();
                    Some(known.ok_or(NotColumns)?)
                }
                _ => return Err(NotColumns),
            };
        }
        reader.take(end - reader.at)?;
        let column = |(at, start): (usize, &Option<usize>)| start.map(|s| (at as u16, s as u32));
        let columns = starts.iter().enumerate().filter_map(column).collect();
        Ok(Self { string, columns, at: 0, count })
    }

    fn next(&mut self, data: &[u8]) -> Result<&[u8], NotColumns> {
        if self.at >= self.count {
            return Err(NotColumns);
        }
        for (place, start) in &self.columns {
            self.string[usize::from(*place)] = data[*start as usize + self.at];
        }
        self.at += 1;
        Ok(&self.string)
    }
}

struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], NotColumns> {
        let end = self.at.checked_add(len).ok_or(NotColumns)?;
        let taken = self.data.get(self.at..end).ok_or(NotColumns)?;
        self.at = end;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, NotColumns> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Result<u16, NotColumns> {
        self.take(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, NotColumns> {
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// So many are written at once at most, so many bytes of them, and so many shapes.
const STRINGS: usize = 4096;
const BYTES: usize = 1 << 20;
const SHAPES: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(strings in vec((0_u64..3, vec(0_u8..4, 1..12)), 0..60)) {
            let mut columns = Columns::default();
            strings.iter().for_each(|(key, string)| columns.push(*key, string));
            let mut data = Vec::new();
            columns.take(&mut data);
            let mut back = Strings::parse(&data).expect("columns");
            for (_, string) in &strings {
                prop_assert_eq!(back.next(), Ok(Some(&string[..])));
            }
            prop_assert_eq!(back.next(), Ok(None));
        }

        #[test]
        fn what_is_no_columns_is_told(data in vec(any::<u8>(), 0..200)) {
            let Ok(mut strings) = Strings::parse(&data) else { return Ok(()) };
            while let Ok(Some(_)) = strings.next() {}
        }
    }

    #[test]
    fn a_byte_that_never_differs_costs_nothing() {
        let mut columns = Columns::default();
        for number in 0..200_u8 {
            columns.push(0, &[1, 2, 3, number, 5, 6, 7, 8, number, 10]);
        }
        let mut data = Vec::new();
        columns.take(&mut data);
        let head = 4 + 200 + 1;
        let shape = 2 + 4 + 10 + 10 + 2;
        assert_eq!(data.len(), head + shape + 200);
    }
}
