//! Names of files as labels: text that is shown, compared and hashed, and never opened.

use std::fmt::Write;

/// A path as the reports write it: without a leading `/` or `./`, without empty and `.` components, with `..`
/// taken back where it can be. Bytes that are not UTF-8 are percent-encoded. What leads above the root stays `..`:
/// it is only a name here.
pub(crate) fn path(raw: &[u8]) -> String {
    if is_clean(raw)
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return text.to_owned();
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in raw.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|&last| last != b"..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    text(&parts.join(&b'/'))
}

/// Bytes as text, percent-encoding those that are not UTF-8.
pub(crate) fn text(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether the general way would change nothing. Most paths of archives and folders are clean already.
fn is_clean(raw: &[u8]) -> bool {
    !raw.is_empty() && raw.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn labels_are_clean_and_harmless() {
        assert_eq!(path(b"./app/.env"), "app/.env");
        assert_eq!(path(b"/etc//passwd/"), "etc/passwd");
        assert_eq!(path(b"a/./b/../c"), "a/c");
        assert_eq!(path(b"../../etc/shadow"), "../../etc/shadow");
        assert_eq!(path(b"caf\xe9/x"), "caf%E9/x");
        assert_eq!(path("grün".as_bytes()), "grün");
        assert_eq!(path(b"./"), "");
    }
}
