//! Dictionaries. `keys` and `values` come in the order of the keys, where Go's order is random.

use std::rc::Rc;

use super::strings::strval;
use super::{Arguments, Entry, Param, many, of};
use crate::template::run::{Fail, Run};
use crate::template::value::{Entries, List, Map, Text, Value};

use Param::{Any, Map as Dict, Text as Str};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("deepCopy", of(&[Any], |a| copied(a.run, &a.any(), 0))),
    ("dict", many(&[], Any, dict)),
    ("dig", many(&[Any, Any, Any], Any, dig)),
    ("get", of(&[Dict, Str], |a| Ok(a.map().0.borrow().get(&a.text()).cloned().unwrap_or(Value::text(""))))),
    ("hasKey", of(&[Dict, Str], |a| Ok(Value::Bool(a.map().0.borrow().contains_key(&a.text()))))),
    ("keys", many(&[], Dict, keys)),
    ("merge", many(&[Dict], Dict, |a| merge(a, false))),
    ("mergeOverwrite", many(&[Dict], Dict, |a| merge(a, true))),
    ("mustDeepCopy", of(&[Any], |a| copied(a.run, &a.any(), 0))),
    ("mustMerge", many(&[Dict], Dict, |a| merge(a, false))),
    ("mustMergeOverwrite", many(&[Dict], Dict, |a| merge(a, true))),
    ("omit", many(&[Dict], Str, omit)),
    ("pick", many(&[Dict], Str, pick)),
    ("pluck", many(&[Str], Dict, pluck)),
    ("set", of(&[Dict, Str, Any], set)),
    ("unset", of(&[Dict, Str], unset)),
    ("values", of(&[Dict], |a| Ok(Value::list(a.map().0.borrow().values().cloned().collect())))),
];

fn dict(arguments: &mut Arguments<'_>) -> Made {
    let run = arguments.run;
    let mut entries = Entries::new();
    let mut values = arguments.rest().into_iter();
    while let Some(key) = values.next() {
        entries.insert(strval(run, &key)?, values.next().unwrap_or(Value::text("")));
    }
    Ok(Value::map(entries))
}

fn set(arguments: &mut Arguments<'_>) -> Made {
    let (map, key, value) = (arguments.map(), arguments.text(), arguments.any());
    arguments.run.insert(&map, key, value)?;
    Ok(Value::Map(map))
}

fn unset(arguments: &mut Arguments<'_>) -> Made {
    let (map, key) = (arguments.map(), arguments.text());
    let removed = map.0.borrow_mut().remove(&key);
    drop(removed);
    Ok(Value::Map(map))
}

fn maps(arguments: &mut Arguments<'_>) -> Vec<Rc<Map>> {
    let rest = arguments.rest();
    rest.into_iter()
        .filter_map(|value| match value {
            Value::Map(map) => Some(map),
            _ => None,
        })
        .collect()
}

fn keys(arguments: &mut Arguments<'_>) -> Made {
    let maps = maps(arguments);
    let keys: Vec<Text> =
        maps.iter().flat_map(|map| map.0.borrow().keys().cloned().collect::<Vec<_>>()).collect();
    Ok(Value::texts(keys))
}

fn pluck(arguments: &mut Arguments<'_>) -> Made {
    let key = arguments.text();
    let found = maps(arguments).iter().filter_map(|map| map.0.borrow().get(&key).cloned()).collect();
    Ok(Value::list(found))
}

fn pick(arguments: &mut Arguments<'_>) -> Made {
    let map = arguments.map();
    let entries = map.0.borrow();
    let picked =
        arguments.texts().into_iter().filter_map(|key| Some((key.clone(), entries.get(&key)?.clone())));
    Ok(Value::map(picked.collect()))
}

fn omit(arguments: &mut Arguments<'_>) -> Made {
    let map = arguments.map();
    let omitted = arguments.texts();
    let entries = map.0.borrow();
    let kept = entries.iter().filter(|(key, _)| !omitted.contains(key));
    Ok(Value::map(kept.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

fn dig(arguments: &mut Arguments<'_>) -> Made {
    let mut values = arguments.rest();
    let (Some(dict), Some(default)) = (values.pop(), values.pop()) else {
        return Err(Fail::new("needs keys, a default and a dictionary"));
    };
    let mut found = dict;
    for key in values {
        let Value::Text(key) = key else { return Err(Fail::new("a key is no string")) };
        let Value::Map(map) = &found else { return Err(Fail::new("what is no dictionary is dug into")) };
        let next = map.0.borrow().get(&key).cloned();
        match next {
            Some(next) => found = next,
            None => return Ok(default),
        }
    }
    Ok(found)
}

/// Fills in what the first has not, or with `overwrite` replaces what it has; dictionaries inside are merged too.
fn merge(arguments: &mut Arguments<'_>, overwrite: bool) -> Made {
    let target = arguments.map();
    for source in maps(arguments) {
        merge_into(arguments.run, &target, &source, overwrite, 0)?;
    }
    Ok(Value::Map(target))
}

fn merge_into(
    run: &Run,
    target: &Rc<Map>,
    source: &Rc<Map>,
    overwrite: bool,
    depth: usize,
) -> Result<(), Fail> {
    let depth = run.deeper(depth)?;
    if Rc::ptr_eq(target, source) {
        return Ok(());
    }
    let entries: Vec<(Text, Value)> =
        source.0.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in entries {
        let old = target.0.borrow().get(&key).cloned();
        let is_set = old.as_ref().is_some_and(|old| !super::defaults::is_empty(old));
        match (&old, &value) {
            (_, Value::Nil) if !overwrite => {}
            (Some(Value::Map(old)), Value::Map(value)) if is_set => {
                merge_into(run, old, value, overwrite, depth)?;
            }
            _ if overwrite || !is_set => run.insert(target, key, value)?,
            _ => {}
        }
    }
    Ok(())
}

fn copied(run: &Run, value: &Value, depth: usize) -> Made {
    let depth = run.deeper(depth)?;
    Ok(match value {
        Value::Map(map) => {
            let mut entries = Entries::new();
            for (key, value) in map.0.borrow().iter() {
                entries.insert(key.clone(), copied(run, value, depth)?);
            }
            Value::map(entries)
        }
        Value::List(kind, list) => {
            let items: Result<Vec<Value>, Fail> =
                list.0.iter().map(|item| copied(run, item, depth)).collect();
            Value::List(*kind, Rc::new(List(items?)))
        }
        other => other.clone(),
    })
}
