//! Which values a report is about, each finding checked against the value itself.

use std::collections::BTreeMap;

use shared::known::{EntryId, KnownKey, parts};
use shared::secret::Secret;

use super::report::{Known, ReportError};
use crate::known::inventory::{Inventory, Value};
use crate::known::ledger::Ledger;

/// One leaked value with all that is about it.
pub(super) struct Leak<'i> {
    pub(super) id: EntryId,
    pub(super) findings: Vec<String>,
    /// The values that are it, or that hold it.
    pub(super) values: Vec<&'i Value>,
}

/// What a report comes to.
pub(super) struct Found<'i> {
    pub(super) leaks: Vec<Leak<'i>>,
    /// Findings of values that no store holds any more: their proofs cannot be recomputed.
    pub(super) unknown: Vec<String>,
}

/// Finds the value of each finding and recomputes its proof: all, before anything is done.
pub(super) fn leaks<'i>(
    findings: &[Known],
    inventory: &'i Inventory,
    key: &KnownKey,
    ledger: &Ledger,
) -> Result<Found<'i>, ReportError> {
    /// What is gathered about one id.
    #[derive(Default)]
    struct Gathered<'f, 'i> {
        findings: Vec<&'f Known>,
        known: Option<Secret>,
        values: Vec<&'i Value>,
    }
    let id_key = ledger.id_key();
    let mut by_id: BTreeMap<EntryId, Gathered<'_, 'i>> = BTreeMap::new();
    for finding in findings {
        by_id.entry(finding.found.id).or_default().findings.push(finding);
    }
    for value in &inventory.values {
        for part in parts::of(&value.secret) {
            let id = part.value().expose(|bytes| id_key.id(bytes));
            if let Some(gathered) = by_id.get_mut(&id) {
                gathered.known.get_or_insert_with(|| part.value().duplicate());
                gathered.values.push(value);
            }
        }
    }
    let mut found = Found { leaks: Vec::new(), unknown: Vec::new() };
    for (id, Gathered { findings, known, values }) in by_id {
        let Some(known) = known else {
            found.unknown.extend(findings.iter().map(|finding| finding.id.clone()));
            continue;
        };
        for finding in &findings {
            known.expose(|bytes| finding.verify(key, ledger, bytes))?;
        }
        let findings = findings.iter().map(|finding| finding.id.clone()).collect();
        found.leaks.push(Leak { id, findings, values });
    }
    Ok(found)
}
