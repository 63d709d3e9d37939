//! Walks a tree with a value as its dot and writes bytes.

use zeroize::Zeroizing;

use super::functions::{self, Arguments, Logic, Param};
use super::parse::{Branch, Node, NodeKind, Operand, Pipe, Tree};
use super::print;
use super::run::{Fail, Run, TEXT_BYTES_MAX, TemplateError};
use super::value::{Items, Text, Value};

mod field;

/// Renders a tree.
///
/// # Errors
/// Where it fails.
pub fn execute(tree: &Tree, data: &Value) -> Result<Zeroizing<Vec<u8>>, TemplateError> {
    let run = Run::start();
    let mut state = State {
        tree,
        run: &run,
        out: Zeroizing::new(Vec::new()),
        variables: vec![(String::new(), data.clone())],
        depth: 0,
        line: 0,
    };
    match state.list(data, &tree.root) {
        Ok(_) => Ok(state.out),
        Err(Fail(what)) => Err(TemplateError::new(state.line, what)),
    }
}

struct State<'a> {
    tree: &'a Tree,
    run: &'a Run,
    out: Zeroizing<Vec<u8>>,
    variables: Vec<(String, Value)>,
    depth: usize,
    line: usize,
}

/// How a list was left.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Done<T> = Result<T, Fail>;

fn fail<T>(what: impl Into<String>) -> Done<T> {
    Err(Fail::new(what))
}

impl State<'_> {
    fn list(&mut self, dot: &Value, nodes: &[Node]) -> Done<Flow> {
        for node in nodes {
            match self.node(dot, node)? {
                Flow::On => {}
                left => return Ok(left),
            }
        }
        Ok(Flow::On)
    }

    fn write(&mut self, bytes: &[u8]) -> Done<()> {
        if self.out.len() + bytes.len() > TEXT_BYTES_MAX {
            return fail(format!("makes more than {TEXT_BYTES_MAX} bytes"));
        }
        if self.out.capacity() < self.out.len() + bytes.len() {
            // What a growing vector leaves behind would not be wiped.
            let mut larger = Zeroizing::new(Vec::with_capacity((self.out.len() + bytes.len()) * 2));
            larger.extend_from_slice(&self.out);
            self.out = larger;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Done<Flow> {
        self.run.step()?;
        self.line = node.line;
        match &node.kind {
            NodeKind::Literal(text) => self.write(text.as_bytes())?,
            NodeKind::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    let shown = print::shown(self.run, &value)?;
                    self.write(&shown)?;
                }
            }
            NodeKind::If(branch) => return self.conditional(dot, branch, false),
            NodeKind::With(branch) => return self.conditional(dot, branch, true),
            NodeKind::Range(branch) => self.range(dot, branch)?,
            NodeKind::Template { name, pipe } => self.template(dot, name, pipe.as_ref())?,
            NodeKind::Break => return Ok(Flow::Break),
            NodeKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn conditional(&mut self, dot: &Value, branch: &Branch, moves: bool) -> Done<Flow> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match (value.is_true(), moves) {
            (true, true) => self.list(&value, &branch.then)?,
            (true, false) => self.list(dot, &branch.then)?,
            (false, _) => self.list(dot, &branch.otherwise)?,
        };
        self.variables.truncate(known);
        Ok(flow)
    }

    fn template(&mut self, dot: &Value, name: &[u8], pipe: Option<&Pipe>) -> Done<()> {
        let tree = self.tree;
        let Some(nodes) = tree.defined.get(name) else {
            return fail(format!("there is no template \"{}\"", String::from_utf8_lossy(name)));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nil,
        };
        let deeper = self.run.deeper(self.depth)?;
        let depth = std::mem::replace(&mut self.depth, deeper);
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), dot.clone())]);
        self.list(&dot, nodes)?;
        (self.variables, self.depth) = (outer, depth);
        Ok(())
    }

    fn range(&mut self, dot: &Value, branch: &Branch) -> Done<()> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let inner = self.variables.len();
        let items = self.items(&value, branch.pipe.variables.len())?;
        let is_empty = items.is_empty();
        for (index, item) in items {
            self.run.step()?;
            self.set_loop_variables(&branch.pipe, index, &item)?;
            let flow = self.list(&item, &branch.then)?;
            self.variables.truncate(inner);
            if flow == Flow::Break {
                break;
            }
        }
        if is_empty {
            self.list(dot, &branch.otherwise)?;
        }
        self.variables.truncate(known);
        Ok(())
    }

    /// What a range goes through: index or key, and element.
    fn items(&self, value: &Value, variables: usize) -> Done<Vec<(Value, Value)>> {
        match value {
            Value::Nil => Ok(Vec::new()),
            Value::Int(count) | Value::Int64(count) => {
                if variables > 1 {
                    return fail("a range over a number has one variable");
                }
                let typed: fn(i64) -> Value =
                    if matches!(value, Value::Int(_)) { Value::Int } else { Value::Int64 };
                let mut items = Vec::new();
                for number in 0..*count {
                    self.run.step()?;
                    items.push((Value::Nil, typed(number)));
                }
                Ok(items)
            }
            Value::List(_, list) => {
                let indexed = list.0.iter().zip(0_i64..);
                Ok(indexed.map(|(item, index)| (Value::Int(index), item.clone())).collect())
            }
            Value::Map(map) => {
                let entries = map.0.borrow();
                Ok(entries.iter().map(|(key, item)| (Value::Text(key.clone()), item.clone())).collect())
            }
            Value::Strings(map) => {
                let texts =
                    map.iter().map(|(key, text)| (Value::Text(key.clone()), Value::Text(text.clone())));
                Ok(texts.collect())
            }
            other => fail(format!("a range cannot go through {}", other.type_name())),
        }
    }

    fn set_loop_variables(&mut self, pipe: &Pipe, index: Value, item: &Value) -> Done<()> {
        let values: Vec<Value> = match pipe.variables.len() {
            0 => return Ok(()),
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        for (name, value) in pipe.variables.iter().zip(values) {
            // Declared ones stand on the stack already.
            self.assign(name, value)?;
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Done<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => {
                *old = value;
                Ok(())
            }
            None => fail(format!("the variable ${name} is not declared")),
        }
    }

    fn variable(&self, name: &str) -> Done<Value> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => fail(format!("the variable ${name} is not declared")),
        }
    }

    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Done<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, operands: &[Operand], last: Option<Value>) -> Done<Value> {
        self.run.step()?;
        let Some((first, arguments)) = operands.split_first() else { return fail("a command is empty") };
        match first {
            Operand::Field(names) => self.fields(dot, dot.clone(), names, arguments, last),
            Operand::Chain(operand, names) => {
                let value = self.any(dot, operand)?;
                self.fields(dot, value, names, arguments, last)
            }
            Operand::Variable(name, names) if !names.is_empty() => {
                let value = self.variable(name)?;
                self.fields(dot, value, names, arguments, last)
            }
            Operand::Function(name) => self.call(dot, name, arguments, last),
            Operand::Nil => fail("nil is not a command"),
            _ if !arguments.is_empty() || last.is_some() => fail("what is no function is given arguments"),
            other => self.any(dot, other),
        }
    }

    /// An operand where any type will do.
    fn any(&mut self, dot: &Value, operand: &Operand) -> Done<Value> {
        Ok(match operand {
            Operand::Dot => dot.clone(),
            Operand::Nil => Value::Nil,
            Operand::Bool(value) => Value::Bool(*value),
            Operand::Number(number) => match (number.is_float, number.whole, number.float) {
                (false, Some(whole), _) => Value::Int(whole),
                (_, _, Some(float)) => Value::Float(float),
                _ => return fail("a number does not fit"),
            },
            Operand::Str(text) => Value::Text(text.clone()),
            Operand::Field(names) => self.fields(dot, dot.clone(), names, &[], None)?,
            Operand::Variable(name, names) => {
                let value = self.variable(name)?;
                self.fields(dot, value, names, &[], None)?
            }
            Operand::Function(name) => self.call(dot, name, &[], None)?,
            Operand::Pipe(pipe) => {
                let deeper = self.run.deeper(self.depth)?;
                let depth = std::mem::replace(&mut self.depth, deeper);
                let value = self.pipe(dot, pipe)?;
                self.depth = depth;
                value
            }
            Operand::Chain(operand, names) => {
                let value = self.any(dot, operand)?;
                self.fields(dot, value, names, &[], None)?
            }
        })
    }

    /// An operand for a parameter.
    fn argument(&mut self, dot: &Value, operand: &Operand, param: Param) -> Done<Value> {
        let wrong = |found: &str| fail(format!("{} is expected, and {found} is given", param.name()));
        match (operand, param) {
            (_, Param::Any) => self.any(dot, operand),
            (Operand::Number(number), Param::Int) => match number.whole {
                Some(whole) => Ok(Value::Int(whole)),
                None => wrong("a number with a fraction"),
            },
            (Operand::Number(number), Param::Uint32) => match number.whole {
                Some(whole) if u32::try_from(whole).is_ok() => Ok(Value::Int(whole)),
                _ => wrong("another number"),
            },
            (Operand::Number(number), Param::Float) => match number.float {
                Some(float) => Ok(Value::Float(float)),
                None => wrong("a character"),
            },
            (Operand::Nil, Param::Map) => Ok(Value::map(super::value::Entries::new())),
            (Operand::Nil, Param::List) => Ok(Value::list(Vec::new())),
            (Operand::Nil, _) => wrong("nil"),
            (Operand::Number(_), _) => wrong("a number"),
            (Operand::Str(text), Param::Text | Param::Word) => Ok(Value::Text(text.clone())),
            (Operand::Str(_), _) => wrong("a string"),
            (Operand::Bool(value), Param::Bool) => Ok(Value::Bool(*value)),
            (Operand::Bool(_), _) => wrong("a bool"),
            _ => {
                let value = self.any(dot, operand)?;
                param.check(value)
            }
        }
    }

    fn call(&mut self, dot: &Value, name: &str, operands: &[Operand], last: Option<Value>) -> Done<Value> {
        if let Some(logic) = functions::logic(name) {
            return self.logic(dot, logic, operands, last);
        }
        let Some(function) = functions::find(name) else {
            return fail(format!("there is no function \"{name}\""));
        };
        let given = operands.len() + usize::from(last.is_some());
        let fixed = function.params.len();
        let fits = if function.rest.is_some() { given >= fixed } else { given == fixed };
        if !fits {
            let least = if function.rest.is_some() { "at least " } else { "" };
            return fail(format!("{name} takes {least}{fixed} arguments, and {given} are given"));
        }
        let param =
            |index: usize| function.params.get(index).copied().or(function.rest).unwrap_or(Param::Any);
        let in_call = |Fail(what): Fail| Fail(format!("{name}: {what}"));
        let mut values = Vec::with_capacity(given);
        for (index, operand) in operands.iter().enumerate() {
            values.push(match operand {
                // What fails inside an operand names itself.
                Operand::Pipe(_) | Operand::Function(_) | Operand::Field(_) | Operand::Chain(..) => {
                    let value = self.any(dot, operand)?;
                    param(index).check(value).map_err(in_call)?
                }
                _ => self.argument(dot, operand, param(index)).map_err(in_call)?,
            });
        }
        if let Some(last) = last {
            values.push(param(operands.len()).check(last).map_err(in_call)?);
        }
        (function.call)(&mut Arguments::new(self.run, values)).map_err(in_call)
    }

    /// `and` and `or` stop at the value that decides.
    fn logic(&mut self, dot: &Value, logic: Logic, operands: &[Operand], last: Option<Value>) -> Done<Value> {
        if operands.is_empty() && last.is_none() {
            return fail("and and or take at least 1 argument");
        }
        let mut value = Value::Nil;
        for operand in operands {
            value = self.any(dot, operand)?;
            if value.is_true() == (logic == Logic::Or) {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

/// A list of whole numbers.
pub fn ints(numbers: Vec<i64>) -> Value {
    Value::List(
        Items::Ints,
        std::rc::Rc::new(super::value::List(numbers.into_iter().map(Value::Int).collect())),
    )
}

/// A key that a map has, or the failure that Go's `missingkey=error` gives.
fn no_key(name: &str) -> Fail {
    Fail::new(format!("there is no key \"{name}\""))
}

fn text(name: &str) -> Text {
    Text::from(name)
}
