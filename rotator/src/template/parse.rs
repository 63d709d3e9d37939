//! Tokens to a tree, with the refusals of Go's parser.

use std::collections::BTreeMap;

use super::lex::{Kind, Token, lex};
use super::run::{DEPTH_MAX, TemplateError};
use super::value::Text;

mod number;
mod pipeline;
mod tree;

pub use self::number::{Number, whole as whole_text};
pub use self::tree::{Branch, Node, NodeKind, Operand, Pipe, Tree};

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
}
