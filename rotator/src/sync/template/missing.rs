//! Finds keys that are not there before a template is rendered: the engine lets them pass, Go does not.
//!
//! Only what is surely evaluated with the whole data as its dot is looked at: actions outside of every block, and
//! the conditions of outermost blocks. `and` and `or` may leave out what follows, so actions with them are passed
//! over.

use std::collections::HashMap;
use std::sync::LazyLock;

use gtmpl_ng::Value;
use regex::Regex;

/// One action, without its comments and strings.
static ACTION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?s)\{\{-?(.*?)-?\}\}").ok());
/// Texts and comments inside an action.
static TEXT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?s)"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])'|/\*.*?\*/"#).ok());
/// A field of the dot, and the rest of its chain.
static FIELD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?:^|[\s(|])\.([A-Za-z_]\w*)").ok());

/// Whether every key that is surely asked for is there.
pub fn is_complete(text: &str, data: &HashMap<String, Value>) -> bool {
    let (Some(action), Some(quoted), Some(field)) = (&*ACTION, &*TEXT, &*FIELD) else { return true };
    let mut depth = 0_usize;
    for found in action.captures_iter(text) {
        let inner = quoted.replace_all(found.get(1).map_or("", |inner| inner.as_str()), "_");
        let words: Vec<&str> = inner.split_whitespace().collect();
        let first = words.first().copied().unwrap_or_default();
        let conditional = words.iter().any(|word| matches!(word.trim_start_matches('('), "and" | "or"));
        let is_define = matches!(first, "define" | "block" | "template");
        let known = |name: &str| data.contains_key(name);
        if depth == 0
            && !conditional
            && !is_define
            && !field.captures_iter(&inner).all(|field| field.get(1).is_none_or(|name| known(name.as_str())))
        {
            return false;
        }
        match first {
            "if" | "range" | "with" | "define" | "block" => depth += 1,
            "end" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}
