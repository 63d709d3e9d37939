//! What a person probably meant who typed a name that does not exist.

/// Below this, a suggestion puzzles more than it helps.
const LIKENESS_MIN: f64 = 0.8;

/// The name that was probably meant.
pub fn nearest<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(typed, name), name));
    let near = scored.filter(|(score, _)| *score > LIKENESS_MIN);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The end of a message: `: did you mean …?`, or nothing.
pub fn did_you_mean<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    nearest(typed, names).map(|name| format!(": did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn only_what_is_near_is_suggested() {
        let names = ["github-pat", "gitlab-pat", "jwt"];
        assert_eq!(did_you_mean("github-pta", names), ": did you mean `github-pat`?");
        assert_eq!(did_you_mean("stripe", names), "");
    }
}
