//! What every match of an expression must contain.
//!
//! An expression is cut into its necessary parts: sets of strings of which each match contains one, with the
//! distance of that string from the match's start, and the rest of the expression from there on. The matcher
//! looks for the strings at memory speed and runs the expression only around them. Shared with the build
//! script, so that the shipped rules are analysed once, when the program is built.

use regex_syntax::hir::{Class, Hir, HirKind};

/// The most strings in one set: more would say little about a match and cost much to look for.
const STRINGS_MAX: usize = 256;
/// The longest string: a prefilter looks at a few bytes of it anyway.
const STRING_BYTES_MAX: usize = 64;
/// The most bytes that a class may hold and still be spelled out.
const CLASS_BYTES_MAX: usize = 8;
/// The most rounds of a repetition without a fixed number of them that are spelled out: `--?`, `-{1,2}`.
const ROUNDS_MAX: u32 = 2;
/// What it costs to look for a string that never comes, in the chance of one that does.
const STRING_COST: f64 = 1e-6;

/// One string that a match may have to contain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Literal {
    /// Its bytes, ASCII lower case where `folded`.
    pub bytes: Vec<u8>,
    /// Any case matches.
    pub folded: bool,
}

/// A set of strings of which every match contains one, within some distance of its start.
#[derive(Clone, Debug)]
pub struct Part {
    /// The strings.
    pub literals: Vec<Literal>,
    /// The fewest bytes of a match before the string.
    pub before_min: usize,
    /// The most, or none if there is no bound.
    pub before_max: Option<usize>,
    /// The expression from the string on, where it can be cut there: what does not match it at the string's
    /// position is no match.
    pub tail: Option<Hir>,
    /// The expression up to the string, where each way to it leads to each tail: then a match is a head that ends
    /// where a tail begins.
    pub head: Option<Hir>,
}

/// All necessary parts of an expression.
pub fn parts(hir: &Hir) -> Vec<Part> {
    let mut found = Vec::new();
    collect(
        hir,
        &Way { before: Bounds { min: 0, max: Some(0) }, head: Some(Hir::empty()), rest: Some(Hir::empty()) },
        &mut found,
    );
    found
}

/// The best of the parts: the one whose strings are rarest.
pub fn best(parts: &[Part]) -> Option<&Part> {
    parts
        .iter()
        .filter(|part| part.literals.iter().all(|literal| literal.bytes.len() >= 2))
        .min_by(|left, right| commonness(left).total_cmp(&commonness(right)))
}

/// How often, roughly, strings of the part occur in ordinary text: the sum of their chances.
pub fn commonness(part: &Part) -> f64 {
    // A string at a fixed distance from the start costs one attempt; another one costs its tail and its head.
    let anchored = if part.before_max == Some(part.before_min) { 1.0 } else { 8.0 };
    part.literals.iter().map(|literal| (-bits(literal)).exp2() + STRING_COST).sum::<f64>() * anchored
}

fn bits(literal: &Literal) -> f64 {
    literal.bytes.iter().take(10).map(|&byte| bits_of(byte, literal.folded)).sum()
}

/// The surprise of one byte in text and code, in bits.
fn bits_of(byte: u8, folded: bool) -> f64 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' => 3.6,
        b'a'..=b'z' => 5.0,
        b'A'..=b'Z' if !folded => 6.5,
        b'.' | b'=' | b'"' | b'-' | b'/' | b'_' | b':' | b'0' | b'1' => 5.0,
        _ => 6.5,
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    min: usize,
    max: Option<usize>,
}

impl Bounds {
    fn of(hir: &Hir) -> Self {
        let properties = hir.properties();
        // `minimum_len` of an expression that never matches is none; it has no part that could be found.
        Self { min: properties.minimum_len().unwrap_or(0), max: properties.maximum_len() }
    }

    fn then(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.zip(other.max).map(|(left, right)| left.saturating_add(right)),
        }
    }
}

/// What stands around an expression.
struct Way {
    /// The length of what comes before.
    before: Bounds,
    /// What comes before, where it can be cut here.
    head: Option<Hir>,
    /// What comes behind, where it can be cut here.
    rest: Option<Hir>,
}

/// Adds the parts of `hir`.
fn collect(hir: &Hir, way: &Way, found: &mut Vec<Part>) {
    let tail = || way.rest.as_ref().map(|rest| Hir::concat(vec![hir.clone(), rest.clone()]));
    if let Some(literals) = spell(hir) {
        push(literals, way.before, tail, || way.head.clone(), found);
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => {}
        // Too long to be spelled out: its beginning is as rare as it gets.
        HirKind::Literal(literal) => {
            let bytes = literal.0[..literal.0.len().min(STRING_BYTES_MAX)].to_vec();
            push(vec![Literal { bytes, folded: false }], way.before, tail, || way.head.clone(), found);
        }
        HirKind::Capture(capture) => collect(&capture.sub, way, found),
        HirKind::Repetition(repetition) => {
            if repetition.min > 0 {
                // The first round is there; what follows it is more rounds or the rest, which is not cut.
                collect(&repetition.sub, &Way { before: way.before, head: None, rest: None }, found);
            }
        }
        HirKind::Concat(children) => collect_concat(children, way, found),
        HirKind::Alternation(branches) => collect_alternation(branches, way, found),
    }
}

fn collect_concat(children: &[Hir], way: &Way, found: &mut Vec<Part>) {
    let rest_from = |index: usize| {
        let rest = way.rest.as_ref()?;
        Some(Hir::concat(children[index..].iter().cloned().chain([rest.clone()]).collect()))
    };
    let head_to = |index: usize| {
        let head = way.head.as_ref()?;
        Some(Hir::concat([head.clone()].into_iter().chain(children[..index].iter().cloned()).collect()))
    };
    let mut at = way.before;
    for (index, child) in children.iter().enumerate() {
        // The longest run of children from here on that can be spelled out together. A run that begins later may
        // have fewer strings, and is tried as well.
        let mut run: Option<Vec<Literal>> = None;
        for child in &children[index..] {
            let next = match spell(child) {
                Some(next) => next,
                None if is_look(child) => vec![Literal { bytes: Vec::new(), folded: false }],
                None => break,
            };
            let joined = match &run {
                None => Some(next),
                Some(before) => join(before, &next),
            };
            match joined {
                Some(joined) => run = Some(joined),
                None => break,
            }
        }
        match run {
            Some(literals) => push(literals, at, || rest_from(index), || head_to(index), found),
            None => {
                collect(child, &Way { before: at, head: head_to(index), rest: rest_from(index + 1) }, found);
            }
        }
        at = at.then(Bounds::of(child));
    }
}

/// Every branch must give a part; together they are one, and their tails are branches of one tail.
fn collect_alternation(branches: &[Hir], way: &Way, found: &mut Vec<Part>) {
    let mut literals = Vec::new();
    let mut tails = Some(Vec::new());
    let mut at_start = true;
    let (mut min, mut max) = (usize::MAX, Some(0));
    for branch in branches {
        let mut inner = Vec::new();
        let here = Way { before: Bounds { min: 0, max: Some(0) }, head: None, rest: Some(Hir::empty()) };
        collect(branch, &here, &mut inner);
        // A string at the branch's very start lets the whole be cut there, which is worth a commoner one.
        let first = inner.iter().find(|part| {
            part.before_max == Some(0) && part.literals.iter().all(|literal| literal.bytes.len() >= 3)
        });
        let Some(part) = first.or_else(|| best(&inner)) else { return };
        at_start &= part.before_max == Some(0);
        literals.extend(part.literals.iter().cloned());
        tails = tails.zip(part.tail.clone()).map(|(mut tails, tail)| {
            tails.push(tail);
            tails
        });
        min = min.min(part.before_min);
        max = max.zip(part.before_max).map(|(left, right): (usize, usize)| left.max(right));
    }
    if literals.len() <= STRINGS_MAX {
        let tail = way.rest.as_ref().zip(tails);
        let tail = tail.map(|(rest, tails)| Hir::concat(vec![Hir::alternation(tails), rest.clone()]));
        let head = way.head.clone().filter(|_| at_start);
        push(literals, way.before.then(Bounds { min, max }), || tail, || head, found);
    }
}

fn push(
    mut literals: Vec<Literal>,
    before: Bounds,
    tail: impl FnOnce() -> Option<Hir>,
    head: impl FnOnce() -> Option<Hir>,
    found: &mut Vec<Part>,
) {
    literals.sort();
    literals.dedup();
    // Where a string begins with another one of the set, the other one finds both.
    let all = literals.clone();
    literals.retain(|literal| {
        !all.iter().any(|other| {
            other != literal && other.folded == literal.folded && literal.bytes.starts_with(&other.bytes)
        })
    });
    if literals.iter().all(|literal| !literal.bytes.is_empty()) {
        let (tail, head) = (tail(), head());
        found.push(Part { literals, before_min: before.min, before_max: before.max, tail, head });
    }
}

fn is_look(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Look(_) | HirKind::Empty)
}

/// All strings of an expression that has few of them.
fn spell(hir: &Hir) -> Option<Vec<Literal>> {
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.len() <= STRING_BYTES_MAX => {
            Some(vec![Literal { bytes: literal.0.to_vec(), folded: false }])
        }
        HirKind::Literal(_) => None,
        HirKind::Class(class) => spell_class(class),
        HirKind::Capture(capture) => spell(&capture.sub),
        HirKind::Repetition(repetition) if Some(repetition.min) == repetition.max && repetition.min <= 8 => {
            let once = spell(&repetition.sub)?;
            let mut all = vec![Literal { bytes: Vec::new(), folded: false }];
            for _ in 0..repetition.min {
                all = join(&all, &once)?;
            }
            Some(all)
        }
        HirKind::Repetition(repetition) if repetition.max.is_some_and(|max| max <= ROUNDS_MAX) => {
            let once = spell(&repetition.sub)?;
            let mut rounds = vec![Literal { bytes: Vec::new(), folded: false }];
            let mut all = if repetition.min == 0 { rounds.clone() } else { Vec::new() };
            for round in 1..=repetition.max? {
                rounds = join(&rounds, &once)?;
                if round >= repetition.min {
                    all.extend(rounds.iter().cloned());
                }
            }
            (all.len() <= STRINGS_MAX).then_some(all)
        }
        HirKind::Concat(children) => {
            let mut all = vec![Literal { bytes: Vec::new(), folded: false }];
            for child in children {
                if !is_look(child) {
                    all = join(&all, &spell(child)?)?;
                }
            }
            (all[0].bytes.len() + all.len() > 1).then_some(all)
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(spell(branch)?);
            }
            (all.len() <= STRINGS_MAX).then_some(all)
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn spell_class(class: &Class) -> Option<Vec<Literal>> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Bytes(bytes) => bytes.iter().map(|range| (range.start().into(), range.end().into())).collect(),
        Class::Unicode(points) => {
            points.iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
    };
    let count: u32 = ranges.iter().map(|(start, end)| end - start + 1).sum();
    if count as usize > 2 * CLASS_BYTES_MAX || ranges.iter().any(|&(_, end)| end > 0x7F) {
        return None;
    }
    let bytes: Vec<u8> = ranges
        .iter()
        .flat_map(|&(start, end)| start..=end)
        .filter_map(|point| u8::try_from(point).ok())
        .collect();
    // Only a class that holds both cases of each of its letters can be looked for without regard to case.
    let folded = bytes.iter().any(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| !byte.is_ascii_alphabetic() || bytes.contains(&(byte ^ 0x20)));
    let mut literals: Vec<Literal> = bytes
        .iter()
        .map(|byte| Literal {
            bytes: vec![if folded { byte.to_ascii_lowercase() } else { *byte }],
            folded: folded && byte.is_ascii_alphabetic(),
        })
        .collect();
    literals.sort();
    literals.dedup();
    (literals.len() <= CLASS_BYTES_MAX && !literals.is_empty()).then_some(literals)
}

fn join(left: &[Literal], right: &[Literal]) -> Option<Vec<Literal>> {
    if left.len() * right.len() > STRINGS_MAX {
        return None;
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for start in left {
        for end in right {
            if start.bytes.len() + end.bytes.len() > STRING_BYTES_MAX {
                return None;
            }
            let folded = start.folded || end.folded;
            let mut bytes = [start.bytes.as_slice(), end.bytes.as_slice()].concat();
            if folded {
                bytes.make_ascii_lowercase();
            }
            all.push(Literal { bytes, folded });
        }
    }
    Some(all)
}

/// Whether every match contains one of the keywords, whatever its case. The keywords are lower case.
pub fn always_contains(hir: &Hir, keywords: &[Vec<u8>]) -> bool {
    let in_part = |part: &Part| {
        part.literals.iter().all(|literal| {
            let text = literal.bytes.to_ascii_lowercase();
            keywords.iter().any(|keyword| memchr::memmem::find(&text, keyword).is_some())
        })
    };
    if parts(hir).iter().any(in_part) {
        return true;
    }
    match hir.kind() {
        HirKind::Capture(capture) => always_contains(&capture.sub, keywords),
        HirKind::Repetition(repetition) => repetition.min > 0 && always_contains(&repetition.sub, keywords),
        HirKind::Concat(children) => children.iter().any(|child| always_contains(child, keywords)),
        HirKind::Alternation(branches) => branches.iter().all(|branch| always_contains(branch, keywords)),
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Literal(_) => false,
    }
}

/// Whether the expression has the capture group with this number.
pub fn has_group(hir: &Hir, group: usize) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => capture.index as usize == group || has_group(&capture.sub, group),
        HirKind::Repetition(repetition) => has_group(&repetition.sub, group),
        HirKind::Concat(children) | HirKind::Alternation(children) => {
            children.iter().any(|child| has_group(child, group))
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Literal(_) => false,
    }
}

// The build script includes this module from elsewhere, where the default place of its tests is another one.
#[cfg(test)]
#[path = "literals/tests.rs"]
mod tests;
