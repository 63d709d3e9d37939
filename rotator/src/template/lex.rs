//! Template text to tokens, as Go's lexer cuts it.

use super::run::TemplateError;

/// A token with the line that it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// From 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text outside of actions.
    Literal(String),
    /// `{{`
    Left,
    /// `}}`
    Right,
    /// A run of blanks inside an action.
    Space,
    /// `.field`
    Field(String),
    /// `$name`, without the `$`
    Variable(String),
    /// A name: a function or a keyword.
    Word(String),
    /// `.`
    Dot,
    /// A number's text.
    Number(String),
    /// A character constant's value.
    Char(i64),
    /// A string, unquoted.
    Str(Vec<u8>),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `,`
    Comma,
}

/// Cuts a text.
///
/// # Errors
/// When an action, a comment or a string is not closed, or holds what Go does not know.
pub fn lex(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { text, at: 0, line: 1, tokens: Vec::new() };
    lexer.all()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self, bytes: usize) {
        let passed = self.text.get(self.at..self.at + bytes).unwrap_or_default();
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.at += bytes;
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { line: self.line, kind });
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::new(self.line, what))
    }

    fn all(&mut self) -> Result<(), TemplateError> {
        let mut trim = false;
        loop {
            let rest = self.rest();
            let start = rest.find("{{");
            let literal = start.map_or(rest, |start| rest.get(..start).unwrap_or_default());
            let after = start.map(|start| rest.get(start + 2..).unwrap_or_default());
            let trims_before = after.is_some_and(trims_left);
            let mut shown = if trim { literal.trim_start_matches(is_space) } else { literal };
            if trims_before {
                shown = shown.trim_end_matches(is_space);
            }
            if !shown.is_empty() {
                self.push(Kind::Literal(shown.to_owned()));
            }
            self.advance(literal.len());
            let Some(after) = after else { return Ok(()) };
            self.advance(2);
            if trims_left(after) {
                self.advance(2);
            }
            trim = if self.rest().starts_with("/*") { self.comment()? } else { self.action()? };
        }
    }

    /// A comment is a whole action.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let rest = self.rest();
        let Some(end) = rest.find("*/") else { return self.error("a comment is not closed") };
        let after = rest.get(end + 2..).unwrap_or_default();
        let trims = trims_right(after);
        if !trims && !after.starts_with("}}") {
            return self.error("a comment ends before its closing delimiter");
        }
        self.advance(end + 2 + if trims { 4 } else { 2 });
        Ok(trims)
    }

    /// One action up to and with its end; whether it trims what follows.
    fn action(&mut self) -> Result<bool, TemplateError> {
        self.push(Kind::Left);
        let mut open = 0_usize;
        loop {
            let rest = self.rest();
            let trims = trims_right(rest);
            if trims || rest.starts_with("}}") {
                if open > 0 {
                    return self.error("a parenthesis is not closed");
                }
                self.advance(if trims { 2 } else { 0 });
                self.push(Kind::Right);
                self.advance(2);
                return Ok(trims);
            }
            let Some(c) = self.peek() else { return self.error("an action is not closed") };
            match c {
                c if is_space(c) => self.space(),
                '=' => self.single(Kind::Assign),
                ':' if rest.starts_with(":=") => {
                    self.push(Kind::Declare);
                    self.advance(2);
                }
                '|' => self.single(Kind::Pipe),
                '"' => self.quoted()?,
                '`' => self.raw()?,
                '\'' => self.character()?,
                '$' => {
                    self.advance(1);
                    let name = self.word();
                    self.push(Kind::Variable(name));
                    self.terminated()?;
                }
                '.' if !rest
                    .get(1..)
                    .and_then(|rest| rest.chars().next())
                    .is_some_and(|c| c.is_ascii_digit()) =>
                {
                    self.advance(1);
                    let name = self.word();
                    self.push(if name.is_empty() { Kind::Dot } else { Kind::Field(name) });
                    self.terminated()?;
                }
                '+' | '-' | '.' | '0'..='9' => self.number()?,
                c if is_word(c) => {
                    let word = self.word();
                    self.push(Kind::Word(word));
                    self.terminated()?;
                }
                '(' => {
                    open += 1;
                    self.single(Kind::Open);
                }
                ')' => {
                    let Some(left) = open.checked_sub(1) else {
                        return self.error("a parenthesis is closed that was not opened");
                    };
                    open = left;
                    self.single(Kind::Close);
                }
                ',' => self.single(Kind::Comma),
                _ => return self.error("an action holds a character that it must not"),
            }
        }
    }

    fn single(&mut self, kind: Kind) {
        self.push(kind);
        self.advance(1);
    }

    fn space(&mut self) {
        self.push(Kind::Space);
        while self.peek().is_some_and(is_space) && !trims_right(self.rest()) {
            self.advance(1);
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default().to_owned();
        self.advance(end);
        word
    }

    /// What may follow a name.
    fn terminated(&self) -> Result<(), TemplateError> {
        match self.peek() {
            None => Ok(()),
            Some(c) if is_space(c) || matches!(c, '.' | ',' | '|' | ':' | '(' | ')') => Ok(()),
            Some(_) if self.rest().starts_with("}}") => Ok(()),
            Some(_) => {
                self.error("a name is followed by a character that it must not; use index for such keys")
            }
        }
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let mut end = 0;
        let bytes = rest.as_bytes();
        if matches!(bytes.first(), Some(b'+' | b'-')) {
            end = 1;
        }
        while let Some(byte) = bytes.get(end) {
            let after_exponent = end > 0 && matches!(bytes.get(end - 1), Some(b'e' | b'E' | b'p' | b'P'));
            if byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'.')
                || (after_exponent && matches!(byte, b'+' | b'-'))
            {
                end += 1;
            } else {
                break;
            }
        }
        let number = rest.get(..end).unwrap_or_default().to_owned();
        self.advance(end);
        self.push(Kind::Number(number));
        Ok(())
    }

    fn raw(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest().get(1..).unwrap_or_default();
        let Some(end) = rest.find('`') else { return self.error("a raw string is not closed") };
        let text = rest.get(..end).unwrap_or_default();
        // Go drops carriage returns from raw strings.
        self.push(Kind::Str(text.bytes().filter(|byte| *byte != b'\r').collect()));
        self.advance(end + 2);
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), TemplateError> {
        let mut bytes = Vec::new();
        let mut rest = self.rest().get(1..).unwrap_or_default();
        loop {
            let mut chars = rest.chars();
            match chars.next() {
                None | Some('\n') => return self.error("a string is not closed"),
                Some('"') => break,
                Some('\\') => {
                    let Some((escaped, left)) = unescape(rest, '"') else {
                        return self.error("a string holds an escape that Go does not know");
                    };
                    bytes.extend_from_slice(&escaped.bytes());
                    rest = left;
                }
                Some(c) => {
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = chars.as_str();
                }
            }
        }
        let end = self.rest().len() - rest.len() + 1;
        self.push(Kind::Str(bytes));
        self.advance(end);
        Ok(())
    }

    fn character(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest().get(1..).unwrap_or_default();
        let (value, left) = match rest.chars().next() {
            Some('\\') => match unescape(rest, '\'') {
                Some((Escaped::Byte(byte), left)) => (i64::from(byte), left),
                Some((Escaped::Char(c), left)) => (i64::from(u32::from(c)), left),
                None => return self.error("a character holds an escape that Go does not know"),
            },
            None | Some('\n' | '\'') => return self.error("a character is not closed"),
            Some(c) => (i64::from(u32::from(c)), rest.get(c.len_utf8()..).unwrap_or_default()),
        };
        if !left.starts_with('\'') {
            return self.error("a character is not closed");
        }
        let end = self.rest().len() - left.len() + 1;
        self.push(Kind::Char(value));
        self.advance(end);
        Ok(())
    }
}

/// `- ` at the start of an action.
fn trims_left(after: &str) -> bool {
    after.strip_prefix('-').and_then(|rest| rest.chars().next()).is_some_and(is_space)
}

/// ` -}}`
fn trims_right(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next().is_some_and(is_space) && chars.as_str().starts_with("-}}")
}

enum Escaped {
    Byte(u8),
    Char(char),
}

impl Escaped {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Byte(byte) => vec![*byte],
            Self::Char(c) => c.to_string().into_bytes(),
        }
    }
}

/// One escape of Go's strings and what follows it.
fn unescape(text: &str, quote: char) -> Option<(Escaped, &str)> {
    let mut chars = text.strip_prefix('\\')?.chars();
    let c = chars.next()?;
    let rest = chars.as_str();
    let plain = |c: char| Some((Escaped::Char(c), rest));
    let digits = |count: usize| {
        let digits =
            rest.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    match c {
        'a' => plain('\u{7}'),
        'b' => plain('\u{8}'),
        'f' => plain('\u{c}'),
        'n' => plain('\n'),
        'r' => plain('\r'),
        't' => plain('\t'),
        'v' => plain('\u{b}'),
        '\\' => plain('\\'),
        c if c == quote => plain(c),
        'x' => Some((Escaped::Byte(u8::try_from(digits(2)?).ok()?), rest.get(2..)?)),
        'u' => Some((Escaped::Char(char::from_u32(digits(4)?)?), rest.get(4..)?)),
        'U' => Some((Escaped::Char(char::from_u32(digits(8)?)?), rest.get(8..)?)),
        '0'..='7' => {
            let octal = text.get(1..4)?;
            let value = u32::from_str_radix(octal, 8).ok()?;
            Some((Escaped::Byte(u8::try_from(value).ok()?), text.get(4..)?))
        }
        _ => None,
    }
}
