//! What is relaxed still matches all that it did.

use super::{relaxed, shape};
use crate::rules::load::parse;

#[test]
fn counts_and_places_are_forgotten() {
    let hir = relaxed(&parse(r"\btoken[a-z]{20,40}=(?P<secret>[0-9]{2})$").unwrap(), 8);
    assert_eq!(hir.properties().minimum_len(), Some(5 + 8 + 1 + 2));
    assert_eq!(hir.properties().maximum_len(), None);
    assert!(hir.properties().look_set().is_empty());
}

#[test]
fn its_text_reads_back() {
    for pattern in
        [r#"(?i)key[\w.-]{0,30}["']?\s*[:=]\s{0,4}[^\s"]{8,}"#, r"a(?s:.{2,60000})z", "[\\x80-\\xff]{3}é"]
    {
        let hir = relaxed(&parse(pattern).unwrap(), 8);
        let again = parse(&hir.to_string()).unwrap();
        assert_eq!(hir.properties().minimum_len(), again.properties().minimum_len(), "{pattern}");
    }
}

#[test]
fn the_first_places_have_a_shape() {
    let of = |pattern| shape(&parse(pattern).unwrap());
    assert_eq!(
        of(r"s\.[a-f]{2}"),
        [vec![(b's', b's')], vec![(b'.', b'.')], vec![(b'a', b'f')], vec![(b'a', b'f')]]
    );
    assert_eq!(of("a[0-9]?b{9}")[..2], [vec![(b'a', b'a')], vec![(b'0', b'9'), (b'b', b'b')]]);
    assert_eq!(of("(?:ab|c)d+"), [vec![(b'a', b'a'), (b'c', b'c')], vec![(b'b', b'b'), (b'd', b'd')]]);
    assert_eq!(of("[éè]x"), [vec![(0x80, 0xFF)], vec![(b'x', b'x'), (0x80, 0xFF)]]);
}
