//! Reading what we wrote, from servers that follow the one that we wrote to.
//!
//! HashiCorp Vault Enterprise answers each write with `X-Vault-Index`: base64 of `v1:CLUSTER:LOCAL:REPLICATED:HMAC`.
//! Sent back, it makes a server that has not come so far answer 412, or forward the request. OpenBao sends none, and
//! nothing happens.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The newest states that were seen.
#[derive(Debug, Default)]
pub(super) struct Indexes(Vec<Index>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Index {
    header: String,
    cluster: String,
    local: u64,
    replicated: u64,
}

/// One cluster and the one it replicates from; more would be another server's mistake.
const INDEXES_MAX: usize = 4;

impl Indexes {
    /// Takes note of an answer's header; one that is not understood is ignored.
    pub(super) fn saw(&mut self, header: &str) {
        let Some(new) = Index::parse(header) else { return };
        if self.0.iter().any(|old| old.cluster == new.cluster && old.covers(&new)) {
            return;
        }
        self.0.retain(|old| old.cluster != new.cluster || !new.covers(old));
        if self.0.len() >= INDEXES_MAX {
            self.0.remove(0);
        }
        self.0.push(new);
    }

    /// The headers to send.
    pub(super) fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|index| index.header.as_str())
    }
}

impl Index {
    fn parse(header: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_STANDARD.decode(header).ok()?).ok()?;
        let mut fields = text.split(':');
        if fields.next()? != "v1" {
            return None;
        }
        Some(Self {
            cluster: fields.next()?.to_owned(),
            local: fields.next()?.parse().ok()?,
            replicated: fields.next()?.parse().ok()?,
            header: header.to_owned(),
        })
    }

    fn covers(&self, other: &Self) -> bool {
        self.local >= other.local && self.replicated >= other.replicated
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::Indexes;

    fn header(text: &str) -> String {
        BASE64_STANDARD.encode(text)
    }

    #[test]
    fn only_the_newest_states_are_sent_back() {
        let mut indexes = Indexes::default();
        for text in
            ["v1:a:5:1:x", "v1:a:4:1:x", "v1:a:6:1:x", "v1:a:1:9:x", "v1:b:1:1:x", "v2:a:9:9:x", "nonsense"]
        {
            indexes.saw(&header(text));
        }
        indexes.saw("not base64!");
        let sent: Vec<_> = indexes.headers().map(str::to_owned).collect();
        assert_eq!(sent, [header("v1:a:6:1:x"), header("v1:a:1:9:x"), header("v1:b:1:1:x")]);
        indexes.saw(&header("v1:a:9:9:y"));
        let sent: Vec<_> = indexes.headers().map(str::to_owned).collect();
        assert_eq!(sent, [header("v1:b:1:1:x"), header("v1:a:9:9:y")]);
    }
}
