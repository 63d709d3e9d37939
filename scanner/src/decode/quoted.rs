//! Quoted-printable (RFC 2045, section 6.7): `=3D` for an equals sign, `=` at the end of a line that goes on.

use memchr::memmem;

use super::rewrite::{Step, hex, window};
use super::run::Progress;
use super::{Part, Piece};

/// Finds and decodes. An encoded equals sign is the trigger: each text that holds `=` has it, and little else does.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    let first = |bytes: &[u8], from: usize, to: usize| {
        let end = bytes.len().min(to + 2);
        memmem::find(&bytes[from..end], b"=3D").map(|at| from + at).filter(|at| *at < to)
    };
    progress.walk(part, first, |stretch| {
        window("quoted-printable", part, stretch, buffer, found, |text| match text {
            [b'\n', ..] => Step::End,
            [b'=', b'\n', ..] => Step::nothing(2),
            [b'=', b'\r', b'\n', ..] => Step::nothing(3),
            [b'=', digits @ ..] => hex(digits).map_or(Step::Plain, |byte| Step::byte(byte, 3)),
            _ => Step::Plain,
        })
    });
}
