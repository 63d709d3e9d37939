//! Differences between objects: what to copy from the base, and what to put between.

/// How long the result is, as the difference says.
pub(super) fn result_bytes(difference: &[u8]) -> Option<u64> {
    let mut rest = difference;
    size(&mut rest)?;
    size(&mut rest)
}

/// Applies a difference. None if it does not fit its base, or does not make as many bytes as it says.
pub(super) fn apply(base: &[u8], difference: &[u8]) -> Option<Vec<u8>> {
    let mut rest = difference;
    if size(&mut rest)? != base.len() as u64 {
        return None;
    }
    let length = usize::try_from(size(&mut rest)?).ok()?;
    let mut made = Vec::with_capacity(length);
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        let piece = if step & 0x80 != 0 {
            // The bits say which bytes of the offset and of the length are there.
            let mut number = |bits: std::ops::Range<u32>| {
                let mut value = 0;
                for (place, bit) in bits.enumerate() {
                    if step >> bit & 1 == 1 {
                        let (&byte, after) = rest.split_first()?;
                        rest = after;
                        value |= usize::from(byte) << (8 * place);
                    }
                }
                Some(value)
            };
            let offset = number(0..4)?;
            let length = match number(4..7)? {
                0 => 0x10000,
                length => length,
            };
            base.get(offset..offset.checked_add(length)?)?
        } else {
            let (piece, after) = rest.split_at_checked(usize::from(step))?;
            if piece.is_empty() {
                return None;
            }
            rest = after;
            piece
        };
        if made.len() + piece.len() > length {
            return None;
        }
        made.extend_from_slice(piece);
    }
    (made.len() == length).then_some(made)
}

fn size(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn copies_and_insertions_make_the_result() {
        let base = b"the quick brown fox";
        // 19 bytes become 14: four from offset 0, "slow", six from offset 9.
        let difference = [&[19, 14, 0x90, 4, 4][..], b"slow", &[0x91, 9, 6]].concat();
        assert_eq!(apply(base, &difference).unwrap(), b"the slow brown");
        assert_eq!(apply(&base[1..], &difference), None);
        assert_eq!(apply(base, &difference[..difference.len() - 1]), None);
        assert_eq!(apply(base, &[19, 2, 0x91, 18, 2]), None);
        assert_eq!(apply(base, &[19, 3, 0]), None);
    }
}
