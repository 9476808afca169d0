//! Whether colours and cursor movements may be written, by the environment.

use std::ffi::OsStr;

/// Whether this process's environment has a terminal that takes escape sequences.
pub(crate) fn wanted() -> bool {
    wanted_by(|name| std::env::var_os(name))
}

/// What the environment says of escape sequences: none for a terminal that does not take them
/// (`TERM` is `dumb` or not set), nor where `NO_COLOR` (<https://no-color.org>) or `CLICOLOR=0` is
/// set.
fn wanted_by<S: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<S>) -> bool {
    let is = |name: &str, test: fn(&OsStr) -> bool| variable(name).is_some_and(|value| test(value.as_ref()));
    is("TERM", |term| !term.is_empty() && term != "dumb")
        && !is("NO_COLOR", |value| !value.is_empty())
        && !is("CLICOLOR", |value| value == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_whether_escape_sequences_are_written() {
        for (variables, wanted) in [
            (&[("TERM", "xterm-256color")][..], true),
            (&[("TERM", "xterm"), ("NO_COLOR", ""), ("CLICOLOR", "1")][..], true),
            (&[("TERM", "dumb")][..], false),
            (&[("TERM", "")][..], false),
            (&[][..], false),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")][..], false),
            (&[("TERM", "xterm"), ("CLICOLOR", "0")][..], false),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
            assert_eq!(wanted_by(variable), wanted, "{variables:?}");
        }
    }
}
