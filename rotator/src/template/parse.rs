//! Tokens to a tree, with the refusals of Go's parser.

use std::collections::BTreeMap;

use super::functions;
use super::lex::{Kind, Token, lex};
use super::run::{DEPTH_MAX, TemplateError};
use super::value::Text;

mod number;

pub use self::number::{Number, whole as whole_text};

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

/// Reads a template.
///
/// # Errors
/// Where it is none.
pub fn parse(text: &str) -> Result<Tree, TemplateError> {
    let tokens = lex(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        variables: vec![String::new()],
        defined: BTreeMap::new(),
        ranges: 0,
        depth: 0,
    };
    let (root, end) = parser.list(true)?;
    match end {
        End::Text => Ok(Tree { root, defined: parser.defined }),
        End::Closed | End::Else => parser.error("an end or else closes nothing"),
    }
}

/// How a list of pieces ended.
#[derive(PartialEq)]
enum End {
    Text,
    Closed,
    Else,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    variables: Vec<String>,
    defined: BTreeMap<Vec<u8>, Vec<Node>>,
    ranges: usize,
    depth: usize,
}

type Parsed<T> = Result<T, TemplateError>;

impl Parser {
    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn error<T>(&self, what: impl Into<String>) -> Parsed<T> {
        Err(TemplateError::new(self.line(), what))
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<Kind> {
        let kind = self.peek().cloned();
        self.at += 1;
        kind
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.at += 1;
        }
    }

    fn next_solid(&mut self) -> Option<Kind> {
        self.skip_space();
        self.next()
    }

    fn expect(&mut self, kind: &Kind, what: &str) -> Parsed<()> {
        self.skip_space();
        if self.peek() == Some(kind) {
            self.at += 1;
            return Ok(());
        }
        self.error(format!("{what} is expected"))
    }

    /// Pieces up to the end of the text, an `end` or an `else`.
    fn list(&mut self, top: bool) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        loop {
            let line = self.line();
            match self.next() {
                None => return Ok((nodes, End::Text)),
                Some(Kind::Literal(text)) => nodes.push(Node { line, kind: NodeKind::Literal(text) }),
                Some(Kind::Left) => {
                    self.skip_space();
                    let word = match self.peek() {
                        Some(Kind::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match word.as_str() {
                        "end" => {
                            self.at += 1;
                            self.expect(&Kind::Right, "the end of the action")?;
                            return Ok((nodes, End::Closed));
                        }
                        "else" => {
                            self.at += 1;
                            self.skip_space();
                            return Ok((nodes, End::Else));
                        }
                        "define" if top => {
                            self.at += 1;
                            self.define()?;
                        }
                        _ => nodes.push(Node { line, kind: self.action(&word)? }),
                    }
                }
                Some(_) => return self.error("the template is broken here"),
            }
        }
    }

    fn action(&mut self, word: &str) -> Parsed<NodeKind> {
        match word {
            "if" | "with" | "range" => {
                self.at += 1;
                let branch = self.deeper(|parser| parser.branch(word))?;
                Ok(match word {
                    "if" => NodeKind::If(branch),
                    "with" => NodeKind::With(branch),
                    _ => NodeKind::Range(branch),
                })
            }
            "template" => {
                self.at += 1;
                let name = self.name()?;
                self.skip_space();
                let pipe = if self.peek() == Some(&Kind::Right) {
                    self.at += 1;
                    None
                } else {
                    Some(self.pipe(&Kind::Right, false)?)
                };
                Ok(NodeKind::Template { name, pipe })
            }
            "block" => {
                self.at += 1;
                let name = self.name()?;
                let pipe = self.pipe(&Kind::Right, false)?;
                self.body(name.clone())?;
                Ok(NodeKind::Template { name, pipe: Some(pipe) })
            }
            "break" | "continue" => {
                self.at += 1;
                self.expect(&Kind::Right, "the end of the action")?;
                if self.ranges == 0 {
                    return self.error(format!("{word} stands outside of a range"));
                }
                Ok(if word == "break" { NodeKind::Break } else { NodeKind::Continue })
            }
            "define" => self.error("define stands inside of another action"),
            _ => Ok(NodeKind::Action(self.pipe(&Kind::Right, false)?)),
        }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.error(format!("nests deeper than {DEPTH_MAX} levels"));
        }
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn name(&mut self) -> Parsed<Vec<u8>> {
        match self.next_solid() {
            Some(Kind::Str(name)) => Ok(name),
            _ => self.error("the name of a template in quotes is expected"),
        }
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.name()?;
        self.expect(&Kind::Right, "the end of the action")?;
        self.body(name)
    }

    /// The body of a template of its own, with variables of its own.
    fn body(&mut self, name: Vec<u8>) -> Parsed<()> {
        let variables = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.deeper(|parser| parser.list(false))?;
        if end != End::Closed {
            return self.error("a template that is defined here has no end");
        }
        (self.variables, self.ranges) = (variables, ranges);
        let is_empty = |nodes: &[Node]| {
            nodes.iter().all(|node| matches!(&node.kind, NodeKind::Literal(text) if text.trim().is_empty()))
        };
        match self.defined.get(&name) {
            Some(old) if !is_empty(old) && !is_empty(&nodes) => self.error("a template is defined twice"),
            Some(old) if !is_empty(old) => Ok(()),
            _ => {
                self.defined.insert(name, nodes);
                Ok(())
            }
        }
    }

    fn branch(&mut self, word: &str) -> Parsed<Branch> {
        let known = self.variables.len();
        let pipe = self.pipe(&Kind::Right, word == "range")?;
        if word == "range" {
            self.ranges += 1;
        }
        let (then, end) = self.list(false)?;
        if word == "range" {
            self.ranges -= 1;
        }
        let otherwise = match end {
            End::Text => return self.error(format!("{word} has no end")),
            End::Closed => Vec::new(),
            End::Else => self.otherwise(word)?,
        };
        self.variables.truncate(known);
        Ok(Branch { pipe, then, otherwise })
    }

    fn otherwise(&mut self, word: &str) -> Parsed<Vec<Node>> {
        let line = self.line();
        match self.peek() {
            Some(Kind::Right) => {
                self.at += 1;
                let (nodes, end) = self.list(false)?;
                if end == End::Closed { Ok(nodes) } else { self.error("an end is expected after else") }
            }
            // `else if` and `else with` share the end of the outer one.
            Some(Kind::Word(again)) if again == word && word != "range" => {
                let kind = self.action(word)?;
                Ok(vec![Node { line, kind }])
            }
            _ => self.error("else is followed by what does not belong there"),
        }
    }

    fn pipe(&mut self, end: &Kind, is_range: bool) -> Parsed<Pipe> {
        let mut pipe = Pipe { variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.skip_space();
        self.declarations(&mut pipe, is_range)?;
        loop {
            self.skip_space();
            if self.peek() == Some(end) {
                self.at += 1;
                self.check(&pipe)?;
                return Ok(pipe);
            }
            match self.peek() {
                None => return self.error("an action is not closed"),
                Some(Kind::Right | Kind::Close | Kind::Assign | Kind::Declare | Kind::Comma | Kind::Pipe) => {
                    return self.error("an action holds what does not belong there");
                }
                Some(_) => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, is_range: bool) -> Parsed<()> {
        loop {
            let start = self.at;
            let Some(Kind::Variable(name)) = self.peek().cloned() else { return Ok(()) };
            self.at += 1;
            self.skip_space();
            match self.peek() {
                Some(kind @ (Kind::Assign | Kind::Declare)) => {
                    pipe.assigns = *kind == Kind::Assign;
                    self.at += 1;
                    self.skip_space();
                    pipe.variables.push(name);
                    for name in pipe.variables.clone() {
                        if !pipe.assigns {
                            self.variables.push(name);
                        } else if !self.variables.contains(&name) {
                            return self.error(format!("the variable ${name} is not declared"));
                        }
                    }
                    return Ok(());
                }
                Some(Kind::Comma) if is_range && pipe.variables.is_empty() => {
                    self.at += 1;
                    self.skip_space();
                    pipe.variables.push(name);
                    let follows = matches!(self.peek(), Some(Kind::Variable(_)));
                    if !follows {
                        return self.error("range declares at most two variables");
                    }
                }
                _ if pipe.variables.is_empty() => {
                    self.at = start;
                    return Ok(());
                }
                _ => return self.error("range declares variables with := or ="),
            }
        }
    }

    fn check(&self, pipe: &Pipe) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error("a value is missing");
        }
        let is_value = |command: &Vec<Operand>| {
            matches!(
                command.first(),
                Some(Operand::Bool(_) | Operand::Dot | Operand::Nil | Operand::Number(_) | Operand::Str(_))
            )
        };
        if pipe.commands.iter().skip(1).any(is_value) {
            return self.error("a pipeline goes on with what is no function");
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Vec<Operand>> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            match self.peek() {
                Some(Kind::Space) => {}
                Some(Kind::Right | Kind::Close) => break,
                Some(Kind::Pipe) => {
                    self.at += 1;
                    break;
                }
                _ => return self.error("an action holds what does not belong there"),
            }
        }
        if operands.is_empty() {
            return self.error("a command is empty");
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while let Some(Kind::Field(name)) = self.peek() {
            fields.push(name.clone());
            self.at += 1;
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        match term {
            Operand::Field(mut names) => {
                names.extend(fields);
                Ok(Some(Operand::Field(names)))
            }
            Operand::Variable(name, mut names) => {
                names.extend(fields);
                Ok(Some(Operand::Variable(name, names)))
            }
            Operand::Function(_) | Operand::Pipe(_) | Operand::Chain(..) => {
                Ok(Some(Operand::Chain(Box::new(term), fields)))
            }
            Operand::Dot | Operand::Nil | Operand::Bool(_) | Operand::Number(_) | Operand::Str(_) => {
                self.error("a field follows what has none")
            }
        }
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let operand = match self.peek() {
            Some(Kind::Word(word)) => match word.as_str() {
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                "nil" => Operand::Nil,
                "if" | "else" | "end" | "range" | "with" | "define" | "block" | "template" | "break"
                | "continue" => return self.error(format!("{word} does not belong there")),
                name if functions::find(name).is_some() || functions::is_logic(name) => {
                    Operand::Function(name.to_owned())
                }
                name => return self.error(format!("there is no function \"{name}\"")),
            },
            Some(Kind::Dot) => Operand::Dot,
            Some(Kind::Variable(name)) => {
                if !self.variables.contains(name) {
                    return self.error(format!("the variable ${name} is not declared"));
                }
                Operand::Variable(name.clone(), Vec::new())
            }
            Some(Kind::Field(name)) => Operand::Field(vec![name.clone()]),
            Some(Kind::Char(value)) => Operand::Number(Number::of_char(*value)),
            Some(Kind::Number(text)) => match Number::parse(text) {
                Some(number) => Operand::Number(number),
                None => return self.error("this is not a number"),
            },
            Some(Kind::Str(bytes)) => Operand::Str(Text::new(bytes.clone())),
            Some(Kind::Open) => {
                self.at += 1;
                let pipe = self.deeper(|parser| parser.pipe(&Kind::Close, false))?;
                return Ok(Some(Operand::Pipe(Box::new(pipe))));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(operand))
    }
}
