//! Defaults, choices and types.

use super::{Arguments, Entry, Param, many, of};
use crate::template::run::Fail;
use crate::template::value::Value;

use Param::{Any, Bool, Text as Str};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("all", many(&[], Any, |a| Ok(Value::Bool(!a.rest().iter().any(is_empty))))),
    ("any", many(&[], Any, |a| Ok(Value::Bool(a.rest().iter().any(|value| !is_empty(value)))))),
    ("coalesce", many(&[], Any, coalesce)),
    (
        "deepEqual",
        of(&[Any, Any], |a| Ok(Value::Bool(super::lists::deep_equal(a.run, &a.any(), &a.any(), 0)?))),
    ),
    ("default", many(&[Any], Any, default)),
    ("empty", of(&[Any], |a| Ok(Value::Bool(is_empty(&a.any()))))),
    ("fail", of(&[Str], |_| Err(Fail::new("the template says that it fails")))),
    ("kindIs", of(&[Str, Any], |a| Ok(Value::Bool(a.text().bytes() == a.any().kind_name().as_bytes())))),
    ("kindOf", of(&[Any], |a| Ok(Value::text(a.any().kind_name())))),
    ("ternary", of(&[Any, Any, Bool], ternary)),
    ("typeIs", of(&[Str, Any], |a| Ok(Value::Bool(a.text().bytes() == a.any().type_name().as_bytes())))),
    ("typeIsLike", of(&[Str, Any], type_is_like)),
    ("typeOf", of(&[Any], |a| Ok(Value::text(a.any().type_name())))),
];

/// sprig's `empty`: as Go's truth, but for structures.
pub(super) fn is_empty(value: &Value) -> bool {
    !value.is_true()
}

fn coalesce(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    Ok(arguments.rest().into_iter().find(|value| !is_empty(value)).unwrap_or_default())
}

fn default(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let default = arguments.any();
    let given = arguments.rest().into_iter().next();
    Ok(given.filter(|given| !is_empty(given)).unwrap_or(default))
}

fn ternary(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let (yes, no, which) = (arguments.any(), arguments.any(), arguments.bool());
    Ok(if which { yes } else { no })
}

fn type_is_like(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let (wanted, value) = (arguments.text(), arguments.any());
    let name = value.type_name().as_bytes();
    Ok(Value::Bool(wanted.bytes() == name || name.strip_prefix(b"*") == Some(wanted.bytes())))
}
