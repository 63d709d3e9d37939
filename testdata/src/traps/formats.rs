//! Traps inside files of a format of their own.

use std::io::{self, Write};

use super::{Hider, line};
use crate::archive::{Compression, Tar, ar, zip};
use crate::git::{self, Kept};
use crate::sqlite;

/// Adds a file of each format to the lowest layer.
pub(super) fn hide(hider: &mut Hider, tar: Tar) -> io::Result<Tar> {
    let tar = texts(hider, tar);
    let tar = binaries(hider, tar)?;
    let tar = databases(hider, tar);
    let tar = git(hider, tar)?;
    let tar = beside(hider, tar)?;
    documents(hider, tar)
}

/// Where formats keep what no program shows.
fn beside(hider: &mut Hider, tar: Tar) -> io::Result<Tar> {
    let hidden = hider.nested("zstd: a skippable frame", "beside/frames.zst", &["skippable frame 1"]);
    let mut frames = Compression::Zstd.pack(b"nothing\n")?;
    frames.extend([0x5d, 0x2a, 0x4d, 0x18]);
    frames.extend(u32::try_from(hidden.len()).unwrap_or(0).to_le_bytes());
    frames.extend(hidden);
    let second = hider.nested("lz4: the second frame", "beside/two.lz4", &["two"]);
    let two = [Compression::Lz4.pack(b"nothing\n")?, Compression::Lz4.pack(&second)?].concat();
    let comment = hider.nested("gzip: a comment", "beside/comment.gz", &["gzip header 1"]);
    let mut commented =
        flate2::GzBuilder::new().comment(comment).write(Vec::new(), flate2::Compression::fast());
    commented.write_all(b"nothing\n")?;
    let entry = hider.nested("zip: a comment of an entry", "beside/comment.zip", &["a", "zip header"]);
    let mut archive = zip(&[("a", b"nothing\n", false)])?;
    // Behind the entry's name, at the end of the directory.
    let end = archive.len() - 22;
    let length = u8::try_from(entry.len()).unwrap_or(0);
    archive[end - 47 + 32] = length;
    archive[end + 12] += length;
    archive.splice(end..end, entry);
    let attribute = hider.nested("tar: an extended attribute", "beside/attribute", &["extended header"]);
    Ok(tar
        .file("beside/frames.zst", &frames)
        .file("beside/two.lz4", &two)
        .file("beside/comment.gz", &commented.finish()?)
        .file("beside/comment.zip", &archive)
        .pax(&[("SCHILY.xattr.user.note", &attribute)])
        .file("beside/attribute", b"nothing\n"))
}

/// The token of a file that does not hold its bytes.
fn encoded(hider: &mut Hider, name: &'static str, path: &str) -> String {
    let trap = hider.trap(name, Some(0), path, "visible");
    trap.encoded = true;
    trap.token.clone()
}

fn in_file(hider: &mut Hider, name: &'static str, path: &str) -> String {
    hider.trap(name, Some(0), path, "visible").token.clone()
}

/// Letters written in another way.
fn texts(hider: &mut Hider, tar: Tar) -> Tar {
    let units = |text: &str, mark: bool| -> Vec<u16> {
        let mark = mark.then_some('\u{feff}');
        mark.into_iter().chain(text.chars()).collect::<String>().encode_utf16().collect()
    };
    let little = |units: Vec<u16>| units.into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |units: Vec<u16>| units.into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let mut text = |name, path| format!("user = anna\r\ntoken = \"{}\"\r\n", encoded(hider, name, path));
    let tar = tar
        .file("text/le-mark", &little(units(&text("UTF-16LE with a mark", "text/le-mark"), true)))
        .file("text/le", &little(units(&text("UTF-16LE without a mark", "text/le"), false)))
        .file("text/be-mark", &big(units(&text("UTF-16BE with a mark", "text/be-mark"), true)))
        .file("text/be", &big(units(&text("UTF-16BE without a mark", "text/be"), false)));
    let token = in_file(hider, "Latin-1", "text/latin-1");
    let latin = [b"caf\xe9 \xfcber \xdf\ntoken=".as_slice(), token.as_bytes(), b"\xe9t\xe9\n"].concat();
    let token = encoded(hider, "Java properties with escapes", "text/app.properties");
    // As native2ascii and IDEs write what they do not trust to be plain.
    let escaped: String = token
        .char_indices()
        .map(|(at, letter)| match at % 5 {
            0 => format!("\\u{:04x}", u32::from(letter)),
            _ => letter.to_string(),
        })
        .collect();
    let properties = format!("#caf\\u00e9\ngithub.token={escaped}\n");
    let token = in_file(hider, "Jupyter notebook", "text/report.ipynb");
    let notebook = format!(
        "{{\n \"cells\": [\n  {{\n   \"cell_type\": \"code\",\n   \"source\": [\n    \"import os\\n\",\n    \
         \"os.environ[\\\"TOKEN\\\"] = \\\"{token}\\\"\\n\",\n    \"print(1)\"\n   ]\n  }}\n ]\n}}\n"
    );
    let token = encoded(hider, "base64 in a Secret", "text/secret.yaml");
    let secret = format!(
        "kind: Secret\ndata:\n  env: {}\n",
        data_encoding::BASE64.encode(format!("TOKEN={token}\nMODE=production\n").as_bytes())
    );
    let token = encoded(hider, "hexadecimal", "text/dump.sql");
    let hex = data_encoding::HEXLOWER.encode(format!("token = {token}").as_bytes());
    let token = in_file(hider, "percent-encoding", "text/access.log");
    let percent = format!("GET /login?next=%2Fhome%3Ftoken%3D{token}%26x%3D1 HTTP/1.1\n");
    tar.file("text/latin-1", &latin)
        .file("text/app.properties", properties.as_bytes())
        .file("text/report.ipynb", notebook.as_bytes())
        .file("text/secret.yaml", secret.as_bytes())
        .file("text/dump.sql", format!("INSERT INTO t VALUES (X'{hex}');\n").as_bytes())
        .file("text/access.log", percent.as_bytes())
}

/// Bytes that are no text.
fn binaries(hider: &mut Hider, tar: Tar) -> io::Result<Tar> {
    let token = in_file(hider, "compiled Python", "bin/settings.pyc");
    // A marshalled short string: its kind, its length, its bytes.
    let mut compiled = b"\xcb\x0d\x0d\x0a\0\0\0\0\0\0\0\0\x10\0\0\0\xe3\0\0\0\0".to_vec();
    compiled.extend([b'z', u8::try_from(token.len()).unwrap_or(0)]);
    compiled.extend(token.as_bytes());
    compiled.extend(b"N)\x01\xda\x05TOKEN\xa9\0");
    let token = in_file(hider, "core dump", "bin/core.1234");
    let mut core = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    core.extend(hider.random.bytes(2 << 20));
    core.extend(format!("\0TOKEN={token}\0HOME=/root\0").as_bytes());
    core.extend(hider.random.bytes(1 << 20));
    let token = in_file(hider, "program", "bin/tool");
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    program.extend(hider.random.bytes(20_000));
    program.extend(format!("usage: tool\0{token}\0--help\0").as_bytes());
    let object = hider.nested("static library", "bin/libx.a", &["x.o"]);
    let release = hider.trap("Helm release", Some(0), "k8s/release.yaml", "visible");
    release.encoded = true;
    let release = line(release);
    let chart = [
        br#"{"name":"app","info":{"status":"deployed"},"chart":{"templates":["#.as_slice(),
        &hider.random.prose(200_000),
        br#""]},"config":{"note":""#,
        &release,
        br#""}}"#,
    ]
    .concat();
    let once = data_encoding::BASE64.encode(&Compression::Gzip.pack(&chart)?);
    let twice = data_encoding::BASE64.encode(once.as_bytes());
    let secret = format!("kind: Secret\ntype: helm.sh/release.v1\ndata:\n  release: {twice}\n");
    let boot = hider.trap("gzip in base64 of cloud-init", Some(0), "k8s/user-data", "visible");
    boot.encoded = true;
    let boot = data_encoding::BASE64.encode(&Compression::Gzip.pack(&line(boot))?);
    let boot = format!("#cloud-config\nwrite_files:\n- encoding: gz+b64\n  content: {boot}\n");
    Ok(tar
        .file("bin/settings.pyc", &compiled)
        .file("bin/core.1234", &core)
        .file("bin/tool", &program)
        .file("bin/libx.a", &ar(&[("x.o", &object)]))
        .file("k8s/release.yaml", secret.as_bytes())
        .file("k8s/user-data", boot.as_bytes()))
}

fn databases(hider: &mut Hider, tar: Tar) -> Tar {
    let plain = hider.line("SQLite: a row", 0, "db/app.sqlite", "visible");
    let free = hider.line("SQLite: a free page", 0, "db/app.sqlite", "visible");
    let trap = hider.trap("SQLite: a value cut by overflow pages", Some(0), "db/app.sqlite", "visible");
    trap.entries = vec!["page 2 cell 1".to_owned()];
    let token = trap.token.clone();
    // 376 bytes lie in the cell, then 508 in each page: the token lies across the second cut.
    let length = 1900;
    let mut long = hider.random.prose(length);
    let at = 376 + 508 - 15;
    long[at - 1] = b' ';
    long[at..at + token.len()].copy_from_slice(token.as_bytes());
    long[at + token.len()] = b' ';
    tar.file("db/app.sqlite", &sqlite::database(&[&plain, &long], &free))
}

fn git(hider: &mut Hider, tar: Tar) -> io::Result<Tar> {
    let loose = hider.nested("git: a loose object", "repo/.git/objects/ab/cdef", &["blob"]);
    let names = ["git: in a pack", "git: a difference in a pack", "git: a difference that names its base"];
    let path = "repo/.git/objects/pack/pack-1.pack";
    let lines: Vec<Vec<u8>> = names.iter().map(|name| hider.line(name, 0, path, "visible")).collect();
    // The token of a difference is half in its base and half in what is added.
    let base = [&hider.random.prose(300), &b"\n"[..], &lines[1][..30]].concat();
    let other = [&hider.random.prose(200), &b"\n"[..], &lines[2][..25]].concat();
    let (packed, contents) = git::pack(&[
        Kept::Whole(&lines[0]),
        Kept::Whole(&base),
        Kept::After(base.len(), &lines[1][30..]),
        Kept::Named(4, other.len(), &lines[2][25..]),
        Kept::Whole(&other),
    ])?;
    for (name, content) in names.iter().zip([&contents[0], &contents[2], &contents[3]]) {
        if let Some(trap) = hider.traps.iter_mut().find(|trap| trap.name == *name) {
            trap.entries = vec![format!("blob {}", git::blob_name(content))];
        }
    }
    Ok(tar.file("repo/.git/objects/ab/cdef", &git::loose_blob(&loose)?).file(path, &packed))
}

fn documents(hider: &mut Hider, tar: Tar) -> io::Result<Tar> {
    let text = hider.nested("PDF: a compressed stream", "doc/a.pdf", &["object 4"]);
    let plain = hider.line("PDF: a plain string", 0, "doc/a.pdf", "visible");
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(&text)?;
    let stream = writer.finish()?;
    let mut pdf =
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n3 0 obj\n<< /Producer (".to_vec();
    pdf.extend(&plain);
    pdf.extend(
        format!(") >>\nendobj\n4 0 obj\n<< /Length {} /Filter /FlateDecode >>\nstream\n", stream.len())
            .as_bytes(),
    );
    pdf.extend(&stream);
    pdf.extend(b"\nendstream\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n");
    let word = hider.nested("Word document", "doc/a.docx", &["word/document.xml"]);
    let sheet = hider.nested("spreadsheet", "doc/a.xlsx", &["xl/sharedStrings.xml"]);
    Ok(tar
        .file("doc/a.pdf", &pdf)
        .file(
            "doc/a.docx",
            &zip(&[("[Content_Types].xml", b"<Types/>", true), ("word/document.xml", &word, true)])?,
        )
        .file("doc/a.xlsx", &zip(&[("xl/sharedStrings.xml", &sheet, true)])?))
}
