//! Renaming and merging of what `dataFrom` read.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use shared::secret::Secret;

use super::go_json::{Json, Numbers};
use super::template;
use super::value::{Values, value_bytes};
use crate::manifest::external_secret::{
    ConflictPolicy, MergeStrategy, PriorityPolicy, Rewrite, RewriteMerge,
};
use crate::template::Text;
use crate::template::go_regex::compile;

/// Why a step cannot be done. Names keys, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The expression is none.
    #[error("rewrite[{step}]: this is not a regular expression")]
    BadExpression {
        /// Which step, from 0.
        step: usize,
    },
    /// The template fails.
    #[error("rewrite[{step}]: the template fails: {error}")]
    Template {
        /// Which step, from 0.
        step: usize,
        /// Why.
        error: template::TemplateError,
    },
    /// Two keys become one.
    #[error("rewrite[{step}]: two keys become \"{key}\"")]
    Collision {
        /// Which step, from 0.
        step: usize,
        /// The key.
        key: String,
    },
    /// A value that is to be merged is no JSON object.
    #[error("rewrite[{step}]: the value of \"{key}\" is not a JSON object and cannot be merged")]
    NotAnObject {
        /// Which step, from 0.
        step: usize,
        /// The key.
        key: String,
    },
    /// Two values hold the same key.
    #[error("rewrite[{step}]: \"{key}\" stands in two values; set conflictPolicy: Ignore, or a priority")]
    Conflict {
        /// Which step, from 0.
        step: usize,
        /// The key.
        key: String,
    },
    /// A key of the priority list is not there.
    #[error(
        "rewrite[{step}]: \"{key}\" of the priority list is not there; set priorityPolicy: IgnoreNotFound"
    )]
    NoPriority {
        /// Which step, from 0.
        step: usize,
        /// The key.
        key: String,
    },
    /// Strategy JSON without a key to write to.
    #[error("rewrite[{step}]: the strategy JSON needs a key; add into")]
    NoInto {
        /// Which step, from 0.
        step: usize,
    },
}

/// Does every step in its order.
///
/// # Errors
/// At the first step that cannot be done.
pub fn rewrite(steps: &[Rewrite], mut values: Values) -> Result<Values, RewriteError> {
    for (step, operation) in steps.iter().enumerate() {
        if let Some(merge) = &operation.merge {
            values = merged(step, merge, values)?;
        } else if let Some(regexp) = &operation.regexp {
            let regex = compile(&regexp.source).ok_or(RewriteError::BadExpression { step })?;
            values = renamed(step, values, |key| {
                let made = regex.replace_all(key.as_bytes(), regexp.target.as_bytes());
                Ok(String::from_utf8_lossy(&made).into_owned())
            })?;
        } else if let Some(transform) = &operation.transform {
            values = renamed(step, values, |key| {
                let data = BTreeMap::from([(Text::from("value"), Text::from(key))]);
                let made = template::render(&transform.template, &data);
                made.map(|key| String::from_utf8_lossy(&key).into_owned())
                    .map_err(|error| RewriteError::Template { step, error })
            })?;
        }
    }
    Ok(values)
}

fn renamed(
    step: usize,
    values: Values,
    rename: impl Fn(&str) -> Result<String, RewriteError>,
) -> Result<Values, RewriteError> {
    let mut renamed = Values::new();
    for (key, value) in values {
        let key = rename(&key)?;
        if renamed.insert(key.clone(), value).is_some() {
            return Err(RewriteError::Collision { step, key });
        }
    }
    Ok(renamed)
}

fn merged(step: usize, merge: &RewriteMerge, values: Values) -> Result<Values, RewriteError> {
    // Keys of the priority list come last, in its order: what comes later wins.
    let mut order: Vec<&String> = values.keys().filter(|key| !merge.priority.contains(key)).collect();
    for key in &merge.priority {
        match values.get_key_value(key) {
            Some((key, _)) => order.push(key),
            None if merge.priority_policy == Some(PriorityPolicy::IgnoreNotFound) => {}
            None => return Err(RewriteError::NoPriority { step, key: key.clone() }),
        }
    }
    let texts: Vec<(&String, zeroize::Zeroizing<Vec<u8>>)> = order
        .into_iter()
        .filter_map(|key| Some((key, zeroize::Zeroizing::new(values.get(key)?.expose(<[u8]>::to_vec)))))
        .collect();
    let mut all: BTreeMap<String, &RawValue> = BTreeMap::new();
    for (key, text) in &texts {
        let not_an_object = || RewriteError::NotAnObject { step, key: (*key).clone() };
        let Json::Map(entries) = Json::parse(text).map_err(|_| not_an_object())? else {
            return Err(not_an_object());
        };
        for (name, value) in entries {
            let taken = all.insert(name.clone(), value).is_some();
            if taken && merge.conflict_policy != Some(ConflictPolicy::Ignore) {
                return Err(RewriteError::Conflict { step, key: name });
            }
        }
    }
    let broken = || RewriteError::NotAnObject { step, key: merge.into.clone() };
    match merge.strategy.unwrap_or_default() {
        MergeStrategy::Extract => all
            .into_iter()
            .map(|(key, raw)| {
                let bytes = Json::open(raw).and_then(|json| value_bytes(&json, Numbers::Float));
                Ok((key, bytes.map_err(|_| broken())?))
            })
            .collect(),
        MergeStrategy::Json => {
            if merge.into.is_empty() {
                return Err(RewriteError::NoInto { step });
            }
            let text = Json::Map(all).marshal_plain(Numbers::Float).map_err(|_| broken())?;
            let text = Secret::copy_of(&text);
            drop(texts);
            let mut values = values;
            values.insert(merge.into.clone(), text);
            Ok(values)
        }
    }
}
