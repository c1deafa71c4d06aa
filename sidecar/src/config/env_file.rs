//! Environment files, as a shell would read them: comments, quotes, `export`, `${NAME}`.

use std::collections::BTreeSet;

use super::Environment;

/// One assignment.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Line, from 1.
    pub line: usize,
    /// Variable.
    pub name: String,
    /// Its value, expanded.
    pub value: String,
}

/// A line that cannot be read, with its number.
pub type Bad = (usize, String);

/// Reads a file's text. Values may use variables of the environment and of the lines above.
pub fn parse(text: &str, environment: &Environment) -> (Vec<Assignment>, Vec<Bad>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut assignments, mut bad, mut used) = (Vec::<Assignment>::new(), Vec::new(), BTreeSet::new());
    let mut scanner = Scanner { rest: text.chars().peekable(), line: 1 };
    while scanner.skip_blank() {
        let line = scanner.line;
        let lookup = |name: &str| {
            let here = assignments.iter().rev().find(|given| given.name == name);
            here.map(|given| given.value.clone()).or_else(|| environment.get(name).cloned())
        };
        match scanner.assignment(&lookup, &mut used) {
            Ok((name, value)) => assignments.push(Assignment { line, name, value }),
            Err(why) => {
                bad.push((line, why));
                scanner.skip_line();
            }
        }
    }
    // A variable that is not ours may stand in the file to be used by others there; then it has done its work.
    assignments.retain(|given| given.name.starts_with(super::setting::PREFIX) || !used.contains(&given.name));
    (assignments, bad)
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`.
pub fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    used: &mut BTreeSet<String>,
) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inside, after) = after.split_once('}').ok_or("${ without its }")?;
        let (name, default) =
            inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        if !is_name(name) {
            return Err("${..} needs the name of a variable".into());
        }
        used.insert(name.to_owned());
        match lookup(name).filter(|value| default.is_none() || !value.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(default.ok_or_else(|| format!("variable {name} is not set"))?),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    /// Goes to the next assignment; false at the end.
    fn skip_blank(&mut self) -> bool {
        while let Some(c) = self.rest.peek() {
            match c {
                '#' => self.skip_line(),
                c if c.is_whitespace() => drop(self.next()),
                _ => return true,
            }
        }
        false
    }

    fn skip_line(&mut self) {
        while self.rest.peek().is_some_and(|c| *c != '\n') {
            self.next();
        }
    }

    fn assignment(
        &mut self,
        lookup: &dyn Fn(&str) -> Option<String>,
        used: &mut BTreeSet<String>,
    ) -> Result<(String, String), String> {
        let mut name = self.word();
        if name == "export" {
            self.skip_spaces();
            name = self.word();
        }
        self.skip_spaces();
        if self.rest.peek() != Some(&'=') {
            return Err("expected NAME=value".into());
        }
        self.next();
        if !is_name(&name) {
            return Err("expected NAME=value: the name may hold letters, digits and _".into());
        }
        self.skip_spaces();
        Ok((name, self.value(lookup, used)?))
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.rest.peek().copied().filter(|c| !c.is_whitespace() && *c != '=') {
            word.push(c);
            self.next();
        }
        word
    }

    fn skip_spaces(&mut self) {
        while self.rest.peek().is_some_and(|c| matches!(c, ' ' | '\t')) {
            self.next();
        }
    }

    /// A value: bare text up to a comment or the end of the line, with quoted parts in it.
    fn value(
        &mut self,
        lookup: &dyn Fn(&str) -> Option<String>,
        used: &mut BTreeSet<String>,
    ) -> Result<String, String> {
        let (mut value, mut bare) = (String::new(), String::new());
        loop {
            match self.rest.peek().copied() {
                Some('#') if bare.is_empty() && value.is_empty() || bare.ends_with([' ', '\t']) => {
                    self.skip_line()
                }
                Some(quote @ ('"' | '\'')) => {
                    value.push_str(&expand(&bare, lookup, used)?);
                    bare.clear();
                    let quoted = self.quoted(quote)?;
                    value.push_str(&if quote == '"' { expand(&quoted, lookup, used)? } else { quoted });
                }
                None | Some('\n') => break,
                Some('\r') => drop(self.next()),
                Some(c) => {
                    bare.push(c);
                    self.next();
                }
            }
        }
        value.push_str(&expand(bare.trim_end(), lookup, used)?);
        Ok(value)
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') if quote == '"' => match self.next() {
                    Some(c @ ('"' | '\\' | '`')) => text.push(c),
                    Some('$') => text.push_str(if self.rest.peek() == Some(&'{') { "$$" } else { "$" }),
                    Some('\n') => {}
                    Some(c) => text.extend(['\\', c]),
                    None => return Err("a quote is not closed".into()),
                },
                Some(c) => text.push(c),
                None => return Err("a quote is not closed".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(usize, String, String)>, Vec<Bad>) {
        let environment =
            [("HOME".to_owned(), "/somewhere".to_owned()), ("PW".to_owned(), "a$b#c".to_owned())].into();
        let (assignments, bad) = parse(text, &environment);
        (assignments.into_iter().map(|given| (given.line, given.name, given.value)).collect(), bad)
    }

    fn value(line: &str) -> String {
        let (mut values, bad) = read(&format!("PGSTREAM_X{line}"));
        assert_eq!(bad, [], "{line}");
        values.pop().expect("a value").2
    }

    #[test]
    fn a_file_of_the_tutorial() {
        let text = "# Listener config\nPGSTREAM_A=\"postgres://u:p@h:5432?sslmode=disable\"\n\nexport PGSTREAM_B=pgstream_tutorial_slot # why\r\n  PGSTREAM_C = 5s\n";
        let (values, bad) = read(text);
        assert_eq!(bad, []);
        let expected = [
            (2, "PGSTREAM_A", "postgres://u:p@h:5432?sslmode=disable"),
            (4, "PGSTREAM_B", "pgstream_tutorial_slot"),
            (5, "PGSTREAM_C", "5s"),
        ];
        assert_eq!(values, expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())));
    }

    #[test]
    fn values_as_a_shell_reads_them() {
        assert_eq!(value("=plain"), "plain");
        assert_eq!(value("="), "");
        assert_eq!(value("= # nothing"), "");
        assert_eq!(value("=a#b"), "a#b");
        assert_eq!(value("='it is ${HOME}'"), "it is ${HOME}");
        assert_eq!(value("=\"a \\\"b\\\" \\\\ c\""), "a \"b\" \\ c");
        assert_eq!(value("=\"two\nlines\""), "two\nlines");
        assert_eq!(value("=${HOME}/x"), "/somewhere/x");
        assert_eq!(value("=\"u:${PW}@h\""), "u:a$b#c@h");
        assert_eq!(value("=\"\\${HOME} pa$word $${HOME}\""), "${HOME} pa$word ${HOME}");
        assert_eq!(value("=${NONE:-5s}"), "5s");
        assert_eq!(value("=test_schema.* test"), "test_schema.* test");
    }

    #[test]
    fn variables_of_the_lines_above() {
        let (values, bad) = read("DB=one\nPGSTREAM_X=${DB}\nOTHER=1\n");
        assert_eq!(bad, []);
        assert_eq!(values, [(2, "PGSTREAM_X".into(), "one".into()), (3, "OTHER".into(), "1".into())]);
    }

    #[test]
    fn every_bad_line_is_named() {
        let (values, bad) = read("what\nPGSTREAM_A=1\n1X=2\nPGSTREAM_B=${NONE}\nPGSTREAM_C=\"open\n");
        assert_eq!(values, [(2, "PGSTREAM_A".into(), "1".into())]);
        assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert!(bad[2].1.contains("NONE is not set"));
    }
}
