//! What a template is once it was read.

use std::collections::BTreeMap;

use super::Number;
use crate::template::value::Text;

/// A template with those that it defines.
#[derive(Debug)]
pub struct Tree {
    /// The template itself.
    pub root: Vec<Node>,
    /// What `define` and `block` made.
    pub defined: BTreeMap<Vec<u8>, Vec<Node>>,
}

/// A piece of a template, with its line.
#[derive(Debug)]
pub struct Node {
    /// From 1.
    pub line: usize,
    /// What it is.
    pub kind: NodeKind,
}

/// What a piece is.
#[derive(Debug)]
pub enum NodeKind {
    /// Text.
    Literal(String),
    /// An action that prints, or declares.
    Action(Pipe),
    /// `if`
    If(Branch),
    /// `with`
    With(Branch),
    /// `range`
    Range(Branch),
    /// `template`
    Template {
        /// Its name.
        name: Vec<u8>,
        /// Its dot.
        pipe: Option<Pipe>,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
}

/// A condition and its two bodies.
#[derive(Debug)]
pub struct Branch {
    /// The condition.
    pub pipe: Pipe,
    /// When it holds.
    pub then: Vec<Node>,
    /// When it does not.
    pub otherwise: Vec<Node>,
}

/// Commands that feed one another.
#[derive(Debug)]
pub struct Pipe {
    /// Variables that take the value, without `$`.
    pub variables: Vec<String>,
    /// Whether they are assigned rather than declared.
    pub assigns: bool,
    /// The commands, each with its operands.
    pub commands: Vec<Vec<Operand>>,
}

/// An operand.
#[derive(Debug)]
pub enum Operand {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Str(Text),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`: the name, then its fields.
    Variable(String, Vec<String>),
    /// A function.
    Function(String),
    /// A pipeline in parentheses.
    Pipe(Box<Pipe>),
    /// Fields of such an operand.
    Chain(Box<Operand>, Vec<String>),
}
