//! PEM blocks and chains of certificates.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use zeroize::Zeroizing;

use super::{Arguments, Entry, Param, of};
use crate::template::run::Fail;
use crate::template::value::{Text, Value};

use Param::Text as Str;

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("certSANs", of(&[Str], sans)),
    ("filterCertChain", of(&[Str, Str], filter_chain)),
    ("filterPEM", of(&[Str, Str], filter)),
];

/// A block: its label and its bytes.
pub(super) struct Block {
    pub label: String,
    pub bytes: Zeroizing<Vec<u8>>,
    /// Lines of the form `Key: value` before the data.
    headers: Vec<String>,
}

/// The first block of a text, and what follows it.
pub(super) fn decode(text: &[u8]) -> Option<(Block, &[u8])> {
    let mut rest = text;
    loop {
        let start = find_line(rest, b"-----BEGIN ")?;
        let after = rest.get(start + 11..)?;
        let line_end = after.iter().position(|byte| *byte == b'\n').unwrap_or(after.len());
        let (line, body) = after.split_at(line_end);
        let Some(label) = line.trim_ascii_end().strip_suffix(b"-----") else {
            rest = after;
            continue;
        };
        let label = String::from_utf8_lossy(label).into_owned();
        let end_mark = format!("-----END {label}-----").into_bytes();
        let Some(end) = find_line(body, &end_mark) else {
            rest = after;
            continue;
        };
        let (content, left) = body.split_at(end);
        let left = left.get(end_mark.len()..).unwrap_or_default();
        let line_end = left.iter().position(|byte| *byte == b'\n');
        let left = line_end.map_or(&b""[..], |end| left.get(end + 1..).unwrap_or_default());
        match block(label, content) {
            Some(block) => return Some((block, left)),
            None => rest = after,
        }
    }
}

fn block(label: String, content: &[u8]) -> Option<Block> {
    let mut headers = Vec::new();
    let mut digits = Zeroizing::new(Vec::with_capacity(content.len()));
    for line in content.split(|byte| *byte == b'\n') {
        if line.contains(&b':') && digits.is_empty() {
            headers.push(String::from_utf8_lossy(line.trim_ascii()).into_owned());
        } else {
            digits.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    let bytes = super::encoding::decode64(&digits).ok()?;
    Some(Block { label, bytes: Zeroizing::new(bytes), headers })
}

/// Where a mark stands at the start of a line.
fn find_line(text: &[u8], mark: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = super::strings::find(mark, text.get(from..)?, true) {
        let at = from + at;
        if at == 0 || text.get(at - 1) == Some(&b'\n') {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// A block in Go's form: lines of 64.
pub(super) fn encode(label: &str, bytes: &[u8]) -> Vec<u8> {
    let text = pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, bytes);
    text.map(String::into_bytes).unwrap_or_default()
}

fn encode_block(block: &Block) -> Vec<u8> {
    let mut text = encode(&block.label, &block.bytes);
    if !block.headers.is_empty() {
        let line = text.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let headers = format!("{}\n\n", block.headers.join("\n"));
        text.splice(line..line, headers.into_bytes());
    }
    text
}

/// Go before 1.26 passed over what stands before the first block, on the same line too.
fn without_junk(text: &[u8]) -> &[u8] {
    let start = super::strings::find(b"-----BEGIN", text, true);
    start.and_then(|start| text.get(start..)).unwrap_or(text)
}

fn filter(arguments: &mut Arguments<'_>) -> Made {
    let (label, text) = (arguments.text(), arguments.text());
    let mut rest = without_junk(text.bytes());
    let label = label.lossy();
    let mut out = Vec::new();
    while let Some((block, left)) = decode(rest) {
        rest = left;
        if block.label.eq_ignore_ascii_case(&label) {
            out.extend(encode_block(&block));
        }
    }
    if out.is_empty() && !rest.is_empty() {
        return Err(Fail::new("the text holds what is no PEM"));
    }
    Ok(Value::bytes(out))
}

/// A certificate with the ids by which chains are built.
#[derive(Clone)]
pub(super) struct Certificate {
    pub der: Vec<u8>,
    subject_key: Vec<u8>,
    authority_key: Vec<u8>,
}

impl Certificate {
    pub(super) fn parse(der: &[u8]) -> Result<Self, Fail> {
        let broken = || Fail::new("this is not a certificate");
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| broken())?;
        if !rest.is_empty() {
            return Err(broken());
        }
        let (mut subject_key, mut authority_key) = (Vec::new(), Vec::new());
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key = id.0.to_vec(),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
                }
                _ => {}
            }
        }
        Ok(Self { der: der.to_vec(), subject_key, authority_key })
    }

    fn is_root(&self) -> bool {
        self.authority_key.is_empty() || self.authority_key == self.subject_key
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        encode("CERTIFICATE", &self.der)
    }
}

/// All certificates of a text.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<Certificate>, Fail> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((block, left)) = decode(rest) {
        rest = left;
        found.push(Certificate::parse(&block.bytes)?);
    }
    Ok(found)
}

/// From the leaf to the root, by the ids of their keys. Says nothing about whether any of them can be trusted.
pub(super) fn ordered(all: &[Certificate]) -> Result<Vec<Certificate>, Fail> {
    let parents: Vec<Option<usize>> = all
        .iter()
        .enumerate()
        .map(|(index, certificate)| {
            all.iter()
                .enumerate()
                .find(|(other, parent)| *other != index && certificate.authority_key == parent.subject_key)
                .map(|(other, _)| other)
        })
        .collect();
    let mut leaves = (0..all.len()).filter(|index| !parents.contains(&Some(*index)));
    let leaf = leaves.next().ok_or_else(|| Fail::new("no certificate is a leaf"))?;
    if leaves.next().is_some() {
        return Err(Fail::new("more than one certificate is a leaf, or stands apart"));
    }
    let mut chain = Vec::new();
    let mut next = Some(leaf);
    while let Some(index) = next {
        if chain.len() > all.len() {
            return Err(Fail::new("the certificates sign one another in a circle"));
        }
        chain.extend(all.get(index).cloned());
        next = parents.get(index).copied().flatten();
    }
    Ok(chain)
}

fn filter_chain(arguments: &mut Arguments<'_>) -> Made {
    let (kind, text) = (arguments.text(), arguments.text());
    let chain = ordered(&certificates(text.bytes())?)?;
    let wanted: Vec<&Certificate> = match kind.bytes() {
        b"leaf" => chain.first().filter(|leaf| !leaf.is_root()).into_iter().collect(),
        b"intermediate" => chain.iter().skip(1).take_while(|certificate| !certificate.is_root()).collect(),
        b"root" => chain.last().filter(|last| last.is_root()).into_iter().collect(),
        _ => Vec::new(),
    };
    Ok(Value::bytes(wanted.into_iter().flat_map(Certificate::pem).collect()))
}

fn sans(arguments: &mut Arguments<'_>) -> Made {
    let text = arguments.text();
    let (block, _) = decode(without_junk(text.bytes())).ok_or_else(|| Fail::new("the text is not PEM"))?;
    let (_, parsed) =
        X509Certificate::from_der(&block.bytes).map_err(|_| Fail::new("this is not a certificate"))?;
    let mut groups: [Vec<Text>; 4] = Default::default();
    let [names, addresses, mails, uris] = &mut groups;
    let alternatives =
        parsed.subject_alternative_name().map_err(|_| Fail::new("this is not a certificate"))?;
    for name in alternatives.iter().flat_map(|alternatives| &alternatives.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.push(Text::from(*name)),
            GeneralName::RFC822Name(mail) => mails.push(Text::from(*mail)),
            GeneralName::URI(uri) => uris.push(Text::from(*uri)),
            GeneralName::IPAddress(bytes) => {
                let four: Option<[u8; 4]> = (*bytes).try_into().ok();
                let sixteen: Option<[u8; 16]> = (*bytes).try_into().ok();
                let address = four.map(IpAddr::from).or(sixteen.map(IpAddr::from));
                addresses.extend(address.map(|address| Text::from(address.to_string())));
            }
            _ => {}
        }
    }
    Ok(Value::texts(groups.into_iter().flatten().collect()))
}
