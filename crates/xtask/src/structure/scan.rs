//! What one source file says of modules: those it declares, what it imports, and every path in it.
//!
//! It reads tokens, so comments and strings do not count, and the insides of macros do. Items under
//! `#[cfg(test)]` are left out.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One module of a file: the file itself, or a `mod name { … }` in it.
#[derive(Debug, Default)]
pub struct Scope {
    /// Names of the inline modules around it, outermost first; none for the file itself.
    pub inline: Vec<String>,
    /// Names of `mod name;`.
    pub declared: Vec<String>,
    /// Items that are defined here, and in functions and implementations here.
    pub defined: BTreeSet<String>,
    pub uses: Vec<Use>,
    pub paths: Vec<Place>,
}

/// `use a::b as c`, one name of it.
#[derive(Debug)]
pub struct Use {
    /// The name here; `None` for `*`, whose path is in front of the star.
    pub name: Option<String>,
    pub place: Place,
}

/// A path of at least two segments, or an import, and the line of its first segment.
#[derive(Debug, Clone)]
pub struct Place {
    pub path: Vec<String>,
    pub line: usize,
}

type Tokens = Peekable<IntoIter>;

/// # Errors
/// The text is not Rust.
pub fn scan(text: &str) -> Result<Vec<Scope>> {
    let tokens = TokenStream::from_str(text).map_err(|error| anyhow!("{error}"))?;
    let mut scopes = vec![Scope::default()];
    read(tokens, &mut scopes, 0);
    Ok(scopes)
}

fn read(stream: TokenStream, scopes: &mut Vec<Scope>, at: usize) {
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if matches!(tokens.peek(), Some(TokenTree::Group(group)) if is_cfg_test(group)) {
                    skip_item(&mut tokens);
                }
            }
            // A path that begins with `::` or a segment behind a `::` is another crate's, or `<T>::x`.
            TokenTree::Punct(punct) if punct.as_char() == ':' && next_is(&mut tokens, ':') => {
                tokens.next();
                tokens.next_if(|next| matches!(next, TokenTree::Ident(_)));
            }
            TokenTree::Group(group) => read(group.stream(), scopes, at),
            TokenTree::Ident(ident) => {
                let (word, line) = (ident.to_string(), ident.span().start().line);
                match word.as_str() {
                    "mod" => module(&mut tokens, scopes, at),
                    "use" if !next_is(&mut tokens, '<') => imports(&mut tokens, &[], &mut scopes[at].uses),
                    "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" => {
                        if let Some(TokenTree::Ident(name)) = tokens.peek() {
                            scopes[at].defined.insert(name.to_string());
                        }
                    }
                    _ => {
                        let path = segments(&mut tokens, word);
                        if path.len() > 1 {
                            scopes[at].paths.push(Place { path, line });
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// After `mod`.
fn module(tokens: &mut Tokens, scopes: &mut Vec<Scope>, at: usize) {
    let Some(TokenTree::Ident(name)) = tokens.next() else { return };
    match tokens.next() {
        Some(TokenTree::Group(body)) => {
            let inline = scopes[at].inline.iter().cloned().chain([name.to_string()]).collect();
            scopes.push(Scope { inline, ..Scope::default() });
            let inner = scopes.len() - 1;
            read(body.stream(), scopes, inner);
        }
        _ => scopes[at].declared.push(name.to_string()),
    }
}

/// After `use`, or in the braces of one: trees, separated by commas, up to `;` or the end.
fn imports(tokens: &mut Tokens, prefix: &[String], uses: &mut Vec<Use>) {
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                let place = Place { path: prefix.to_vec(), line: punct.span().start().line };
                uses.push(Use { name: None, place });
            }
            TokenTree::Ident(ident) => {
                let line = ident.span().start().line;
                let mut path = prefix.to_vec();
                path.extend(segments(tokens, ident.to_string()));
                match tokens.peek() {
                    // `segments` has taken the `::` in front of either.
                    Some(TokenTree::Group(_)) => {
                        let Some(TokenTree::Group(group)) = tokens.next() else { return };
                        imports(&mut group.stream().into_iter().peekable(), &path, uses);
                        continue;
                    }
                    Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                        tokens.next();
                        uses.push(Use { name: None, place: Place { path, line } });
                        continue;
                    }
                    _ => {}
                }
                if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                let mut name = path.last().cloned();
                if tokens.next_if(|next| matches!(next, TokenTree::Ident(word) if word == "as")).is_some() {
                    name = tokens.next().map(|name| name.to_string());
                }
                uses.push(Use { name, place: Place { path, line } });
            }
            _ => {}
        }
    }
}

/// The path that begins with `first`; a `::` behind the last segment is taken too.
fn segments(tokens: &mut Tokens, first: String) -> Vec<String> {
    let mut path = vec![first];
    while next_is(tokens, ':') {
        // `a: b` has one colon, `a::b` two that are joined.
        let joined = matches!(tokens.peek(), Some(TokenTree::Punct(punct))
            if punct.spacing() == proc_macro2::Spacing::Joint);
        if !joined {
            break;
        }
        tokens.next();
        tokens.next();
        match tokens.peek() {
            Some(TokenTree::Ident(_)) => path.extend(tokens.next().map(|segment| segment.to_string())),
            _ => break,
        }
    }
    path
}

fn next_is(tokens: &mut Tokens, character: char) -> bool {
    matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

/// `[cfg(test)]` or `[cfg(all(test, …))]`, without its `#`.
fn is_cfg_test(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// The rest of its attributes and the item: up to a `;` or a body in braces.
fn skip_item(tokens: &mut Tokens) {
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let scopes = scan(text).unwrap();
        let all = scopes.iter().flat_map(|scope| {
            let uses = scope.uses.iter().map(|import| &import.place);
            uses.chain(&scope.paths).map(|place| format!("{}:{}", place.line, place.path.join("::")))
        });
        all.collect()
    }

    #[test]
    fn every_name_of_an_import_counts_with_its_line() {
        let text = "use crate::a::{self, b::C as D,\n    e::*};\npub use super::f;";
        assert_eq!(paths(text), ["1:crate::a", "1:crate::a::b::C", "2:crate::a::e", "3:super::f"]);
        let scopes = scan(text).unwrap();
        let names: Vec<Option<&str>> = scopes[0].uses.iter().map(|import| import.name.as_deref()).collect();
        assert_eq!(names, [Some("a"), Some("D"), None, Some("f")]);
    }

    #[test]
    fn paths_count_in_code_types_and_macros_but_not_in_strings_and_comments() {
        let text = "//! crate::no\nfn f(x: &crate::a::T) -> u8 { // crate::no\n\
                    println!(\"crate::no {}\", super::b()); Vec::<u8>::new(); x.c::<u8>() }";
        assert_eq!(paths(text), ["2:crate::a::T", "3:super::b"]);
    }

    #[test]
    fn what_is_compiled_for_tests_only_does_not_count() {
        let text = "#[cfg(test)]\n#[allow(unused)]\nmod tests { use crate::a; }\n\
                    #[cfg(test)]\nuse crate::b;\n#[cfg(all(test, unix))]\nmod more;\nuse crate::c;";
        assert_eq!(paths(text), ["8:crate::c"]);
        assert!(scan(text).unwrap()[0].declared.is_empty());
    }

    #[test]
    fn modules_in_a_file_are_scopes_of_their_own() {
        let scopes = scan("mod a;\nmod b { mod c { use super::super::x; } fn f() {} }").unwrap();
        assert_eq!(scopes[0].declared, ["a"]);
        assert!(scopes[1].defined.contains("f"));
        assert_eq!(scopes[2].inline, ["b", "c"]);
        assert_eq!(scopes[2].uses.len(), 1);
    }
}
