//! The programs with which libjpeg-turbo is compiled: cmake, make, and on x86 the assembler nasm.
//! Missing ones are installed where that needs no question: with apt, as root.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::shell::{self, Shell, starts};

/// Installs what is missing, if it can. What is missing then, with the remedy.
pub fn problem(shell: &Shell) -> Option<String> {
    let missing = missing(starts);
    if missing.is_empty() {
        return None;
    }
    if is_root() && starts("apt-get") {
        eprintln!("Installing {} with apt …", missing.join(", "));
        // Lists of packages may be old, or absent in a fresh container.
        if !install(shell, &missing) && update(shell) {
            install(shell, &missing);
        }
    }
    remedy(&self::missing(starts))
}

fn missing(starts: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let assembler = cfg!(any(target_arch = "x86_64", target_arch = "x86"));
    let wanted = [("cmake", true), ("make", true), ("nasm", assembler)];
    wanted.into_iter().filter(|(name, needed)| *needed && !starts(name)).map(|(name, _)| name).collect()
}

fn remedy(missing: &[&str]) -> Option<String> {
    let all = missing.join(" ");
    (!missing.is_empty()).then(|| {
        format!(
            "{} not found (libjpeg-turbo is compiled with it): on Debian and Ubuntu run `sudo apt install {all}`, on \
             Fedora `sudo dnf install {all}`, on macOS `brew install {all}`",
            missing.join(", ")
        )
    })
}

fn is_root() -> bool {
    cfg!(unix) && std::fs::metadata(Path::new("/proc/self")).is_ok_and(|status| owner(&status) == 0)
}

#[cfg(unix)]
fn owner(status: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(status)
}

#[cfg(not(unix))]
fn owner(_: &std::fs::Metadata) -> u32 {
    u32::MAX
}

fn install(shell: &Shell, packages: &[&str]) -> bool {
    let mut command = shell.command("apt-get");
    command.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    apt(&mut command, "apt-get install")
}

fn update(shell: &Shell) -> bool {
    apt(shell.command("apt-get").args(["update", "--quiet"]), "apt-get update")
}

fn apt(command: &mut Command, shown: &str) -> bool {
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    match shell::check(command, shown) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{error:#}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        assert!(missing(|_| true).is_empty());
        let all = missing(|program| program == "make");
        assert_eq!(all.first(), Some(&"cmake"));
        assert!(!all.contains(&"make"));
        let text = remedy(&all).unwrap();
        assert!(text.contains(&format!("sudo apt install {}", all.join(" "))), "{text}");
        assert_eq!(remedy(&[]), None);
    }
}
