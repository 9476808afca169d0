//! Is there a C++ compiler? libtorch's bindings are compiled with it.

use std::ffi::OsString;

use crate::shell::starts;

/// What is missing, with the remedy.
pub fn problem() -> Option<String> {
    let named = std::env::var_os("CXX").filter(|value| !value.is_empty());
    diagnose(named, starts)
}

/// `named` is the variable CXX; `starts` tells whether a program runs.
fn diagnose(named: Option<OsString>, starts: impl Fn(&str) -> bool) -> Option<String> {
    if let Some(named) = named {
        // A wrapper with options may stand there too, such as `ccache g++`.
        let named = named.to_string_lossy().into_owned();
        let program = named.split_whitespace().next().unwrap_or_default();
        return (!starts(program))
            .then(|| format!("CXX names `{named}`, which does not start: correct the variable or unset it"));
    }
    if cfg!(windows) || starts("c++") {
        return None;
    }
    if let Some(other) = ["g++", "clang++"].into_iter().find(|other| starts(other)) {
        return Some(format!("`c++` was not found, but `{other}` was: run `export CXX={other}`"));
    }
    Some(
        "no C++ compiler found: on Debian and Ubuntu run `sudo apt install g++`, on Fedora \
         `sudo dnf install gcc-c++`, on macOS `xcode-select --install`"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_found_by_its_usual_name_or_by_cxx() {
        assert_eq!(diagnose(None, |program| program == "c++"), None);
        assert_eq!(diagnose(Some("ccache g++".into()), |program| program == "ccache"), None);
    }

    #[test]
    fn a_missing_compiler_says_how_to_get_one() {
        let problem = diagnose(None, |_| false).unwrap();
        assert!(problem.contains("apt install g++"), "{problem}");
        let problem = diagnose(None, |program| program == "clang++").unwrap();
        assert!(problem.contains("export CXX=clang++"), "{problem}");
        let problem = diagnose(Some("/opt/gcc/g++".into()), |_| false).unwrap();
        assert!(problem.contains("CXX names `/opt/gcc/g++`"), "{problem}");
    }
}
