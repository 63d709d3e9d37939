//! Actions: declarations, commands that feed one another, operands.

use super::{Number, Operand, Parsed, Parser, Pipe, Text};
use crate::template::functions;
use crate::template::lex::Kind;

impl Parser {
    pub(super) fn pipe(&mut self, end: &Kind, is_range: bool) -> Parsed<Pipe> {
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
