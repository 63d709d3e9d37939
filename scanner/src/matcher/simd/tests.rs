//! Every path beside the scalar one.

use super::{Classes, Path, SETS, Scanner, Set, first_pair, first_run};
use proptest::prelude::*;

/// All paths that this processor has.
fn scanners(classes: &Classes) -> Vec<Scanner> {
    let mut all = vec![Scanner { classes: classes.clone(), path: Path::Scalar }];
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") {
            let path = Path::Avx2(Box::new(super::x86::Nibbles::new(classes)));
            all.push(Scanner { classes: classes.clone(), path });
        }
        if std::arch::is_x86_feature_detected!("avx512vbmi") {
            let path = Path::Avx512(Box::new(super::x86::Tables::new(classes)));
            all.push(Scanner { classes: classes.clone(), path });
        }
    }
    all
}

/// Runs of both sorts, and text.
fn runs() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-zA-Z0-9+/_-]{0,50}",
        "[a-zA-Z0-9+/_-]{20,24}",
        Just(" ".to_owned()),
        Just("%41".to_owned()),
        Just("\\x41 \\u0041".to_owned()),
        "\\PC{0,9}",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn runs_and_pairs_are_found_where_they_are(bytes in runs(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
        let letters = Set::new(|byte| byte.is_ascii_alphanumeric() || b"+/_-".contains(&byte));
        let mut starts = from..to.max(from);
        let run = starts.clone().find(|&at| {
            bytes.get(at..at + 22).is_some_and(|run| run.iter().all(|byte| letters.has(*byte)))
        });
        prop_assert_eq!(first_run(&letters, &bytes, from, to), run);
        let pair = starts.find(|&at| match bytes.get(at..at + 2) {
            Some(b"\\x" | b"\\u") => true,
            Some([b'%', digit]) => (b'2'..=b'7').contains(digit),
            _ => false,
        });
        prop_assert_eq!(first_pair(&bytes, from, to), pair);
    }

    #[test]
    fn every_path_finds_what_the_scalar_one_finds(
        windows in prop::collection::vec((0_usize..SETS, prop::array::uniform4(any::<u8>())), 1..60),
        noise in prop::collection::vec(any::<u8>(), 0..400),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        from in 0_usize..70,
    ) {
        let mut classes = Classes::default();
        let mut haystack = noise;
        for (set, window) in &windows {
            for (place, byte) in window.iter().enumerate() {
                classes.add(*set, place, *byte);
            }
        }
        for pick in picks {
            haystack.extend(pick.get(&windows).1);
        }
        let from = from.min(haystack.len());
        let mut answers = Vec::new();
        for scanner in scanners(&classes) {
            let mut places = Vec::new();
            scanner.find(&haystack, from, haystack.len(), &mut places);
            prop_assert!(places.windows(2).all(|two| two[0] < two[1]));
            answers.push(places);
        }
        for answer in &answers {
            prop_assert!(answers[0].iter().all(|place| answer.binary_search(place).is_ok()));
        }
    }
}
