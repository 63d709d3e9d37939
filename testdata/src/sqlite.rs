//! A small SQLite database, page by page, so that each byte lies where a trap needs it ("Database File Format",
//! sqlite.org).

/// The smallest page that the format allows.
const PAGE_BYTES: usize = 512;

/// A database of one table `notes(text)`: each row is a text, and `free` lies in a page that is free again. Rows longer
/// than 477 bytes go on in overflow pages, whose order is turned round, so that no text goes on in the next page.
pub fn database(rows: &[&[u8]], free: &[u8]) -> Vec<u8> {
    let mut pages = Pages { pages: vec![vec![0; PAGE_BYTES], vec![0; PAGE_BYTES]] };
    let sql = b"CREATE TABLE notes(text TEXT)";
    let mut schema = vec![
        6, // The header's own length, and then a type for each column.
        text_type(5)[0],
        text_type(5)[0],
        text_type(5)[0],
        1,
        text_type(sql.len())[0],
    ];
    schema.extend_from_slice(b"tablenotesnotes\x02");
    schema.extend_from_slice(sql);
    pages.leaf(0, 100, &[schema]);
    let records: Vec<Vec<u8>> = rows
        .iter()
        .map(|row| {
            let kind = text_type(row.len());
            let length = u8::try_from(kind.len() + 1).unwrap_or(u8::MAX);
            [&[length][..], &kind, row].concat()
        })
        .collect();
    pages.leaf(1, 0, &records);
    let freed = pages.pages.len();
    let mut trunk = vec![0; PAGE_BYTES];
    trunk[7] = 1;
    trunk[8..12].copy_from_slice(&number(freed + 2));
    let mut leaf = vec![0; PAGE_BYTES];
    let length = free.len().min(PAGE_BYTES);
    leaf[PAGE_BYTES - length..].copy_from_slice(&free[..length]);
    pages.pages.extend([trunk, leaf]);
    let count = pages.pages.len();
    let header = &mut pages.pages[0];
    header[..16].copy_from_slice(b"SQLite format 3\0");
    header[16..18].copy_from_slice(&[2, 0]);
    // Read and write versions, nothing reserved, and three fractions that are always these.
    header[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    for (at, value) in
        [(24, 1), (28, count), (32, freed + 1), (36, 2), (40, 1), (44, 4), (56, 1), (92, 1), (96, 3_045_000)]
    {
        header[at..at + 4].copy_from_slice(&number(value));
    }
    pages.pages.concat()
}

struct Pages {
    pages: Vec<Vec<u8>>,
}

impl Pages {
    /// Makes a page the leaf of a table.
    fn leaf(&mut self, page: usize, header: usize, records: &[Vec<u8>]) {
        const USABLE: usize = PAGE_BYTES;
        const MOST: usize = USABLE - 35;
        const LEAST: usize = (USABLE - 12) * 32 / 255 - 23;
        let mut end = PAGE_BYTES;
        for (row, record) in records.iter().enumerate() {
            let mut cell = varint(record.len() as u64);
            cell.extend(varint(row as u64 + 1));
            if record.len() <= MOST {
                cell.extend_from_slice(record);
            } else {
                let fitting = LEAST + (record.len() - LEAST) % (USABLE - 4);
                let local = if fitting <= MOST { fitting } else { LEAST };
                cell.extend_from_slice(&record[..local]);
                cell.extend_from_slice(&number(self.overflow(&record[local..])));
            }
            end -= cell.len();
            let content = &mut self.pages[page];
            content[end..end + cell.len()].copy_from_slice(&cell);
            let pointer = header + 8 + 2 * row;
            content[pointer..pointer + 2].copy_from_slice(&short(end));
        }
        let content = &mut self.pages[page];
        content[header] = 13;
        content[header + 3..header + 5].copy_from_slice(&short(records.len()));
        content[header + 5..header + 7].copy_from_slice(&short(end));
    }

    /// Writes the rest of a row, its last page first; gives the number of its first page.
    fn overflow(&mut self, rest: &[u8]) -> usize {
        let mut next = 0;
        for part in rest.chunks(PAGE_BYTES - 4).rev() {
            let mut page = number(next).to_vec();
            page.extend_from_slice(part);
            page.resize(PAGE_BYTES, 0);
            self.pages.push(page);
            next = self.pages.len();
        }
        next
    }
}

/// The serial type of a text.
fn text_type(length: usize) -> Vec<u8> {
    varint(13 + 2 * length as u64)
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(value & 0x7f).unwrap_or(0)];
    let mut rest = value >> 7;
    while rest > 0 {
        bytes.insert(0, u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    bytes
}

fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(0).to_be_bytes()
}

fn short(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(0).to_be_bytes()
}
