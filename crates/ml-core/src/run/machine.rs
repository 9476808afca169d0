//! Files of the system → what a summary says of the machine that a run was on.

use std::collections::BTreeMap;
use std::fs;

/// The operating system, the processor and, if there is one, the driver of NVIDIA's GPUs, as far as
/// the system says.
pub(crate) fn machine() -> BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let known = [
        ("operating system", system(&read("/etc/os-release"), &read("/proc/sys/kernel/osrelease"))),
        ("processor", processor(&read("/proc/cpuinfo"), cores)),
        ("GPU driver", driver(&read("/proc/driver/nvidia/version"))),
    ];
    known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// `Debian GNU/Linux 12, Linux 6.1.0`.
fn system(release: &str, kernel: &str) -> Option<String> {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim().trim_matches('"').to_owned());
    let kernel = Some(kernel.trim()).filter(|kernel| !kernel.is_empty());
    let parts: Vec<String> = name.into_iter().chain(kernel.map(|kernel| format!("Linux {kernel}"))).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `AMD EPYC 9554, 16 threads for this process`.
fn processor(info: &str, threads: usize) -> Option<String> {
    let value =
        |key: &str| info.lines().find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key));
    let (_, model) = value("model name").or_else(|| value("Model"))?;
    Some(match threads {
        0 => model.trim().to_owned(),
        1 => format!("{}, 1 thread for this process", model.trim()),
        count => format!("{}, {count} threads for this process", model.trim()),
    })
}

/// `570.86.15`: the first word of the line that begins with digits and a point.
fn driver(version: &str) -> Option<String> {
    let is_version = |word: &&str| {
        word.contains('.') && word.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    version.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_found() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(system(release, "6.1.0-13\n").unwrap(), "Debian GNU/Linux 12 (bookworm), Linux 6.1.0-13");
        let info = "processor\t: 0\nmodel name\t: AMD EPYC 9554 64-Core Processor\n";
        assert_eq!(
            processor(info, 16).unwrap(),
            "AMD EPYC 9554 64-Core Processor, 16 threads for this process"
        );
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 2025\nGCC version: 12.2.0\n";
        assert_eq!(driver(version).unwrap(), "570.86.15");
    }

    #[test]
    fn what_it_does_not_say_is_left_out() {
        assert_eq!([system("", ""), processor("flags : fpu", 2), driver("")], [None, None, None]);
    }
}
