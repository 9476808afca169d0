//! What to install: four locked lists of requirements, each holding all of the one before it.

use std::path::Path;

use clap::ValueEnum;

/// A list under `requirements/`. Each is a superset of those before it, so that one that is
/// installed serves every smaller wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// TensorBoard alone: libtorch lies elsewhere.
    Tools,
    /// libtorch without what only Python or CUDA needs (Linux on x86-64).
    RuntimeCpu,
    /// The whole of PyTorch, CUDA libraries included where there are any.
    RuntimeCuda,
    /// And what tests and benchmarks compare with.
    Test,
}

/// Which libraries to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compute {
    /// CUDA's where there is an NVIDIA driver
    #[default]
    Auto,
    /// The CPU's alone
    Cpu,
    /// CUDA's too
    Cuda,
}

/// Sizes on Linux x86-64, in MB, measured and rounded up; what is left out elsewhere is not
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Fetched.
    pub download: u64,
    /// Needed on the disk while installing: the packages, their archives, and pip's cache of these.
    pub disk: u64,
}

impl Profile {
    /// All, smallest first.
    pub const ALL: [Self; 4] = [Self::Tools, Self::RuntimeCpu, Self::RuntimeCuda, Self::Test];

    /// The name of its files: `requirements/<name>.{in,txt}`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::RuntimeCpu => "runtime-cpu",
            Self::RuntimeCuda => "runtime-cuda",
            Self::Test => "test",
        }
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What it is for, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Tools => "TensorBoard",
            Self::RuntimeCpu => "libtorch for the CPU, TensorBoard",
            Self::RuntimeCuda => "libtorch with CUDA, TensorBoard",
            Self::Test => "PyTorch, torchvision and what else the tests compare with",
        }
    }

    /// What it takes.
    pub fn size(self) -> Size {
        match self {
            Self::Tools => Size { download: 50, disk: 300 },
            Self::RuntimeCpu => Size { download: 600, disk: 2_600 },
            Self::RuntimeCuda => Size { download: 2_600, disk: 10_000 },
            Self::Test => Size { download: 2_700, disk: 10_500 },
        }
    }

    /// The smallest that a machine's runs need.
    pub fn runtime(compute: Compute, machine: Machine) -> Self {
        let cuda = match compute {
            Compute::Auto => machine.nvidia_driver,
            Compute::Cpu => false,
            Compute::Cuda => true,
        };
        // Only there is it known which libraries libtorch can do without.
        if cuda || !machine.linux_x86_64 { Self::RuntimeCuda } else { Self::RuntimeCpu }
    }
}

/// What decides the profile.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Linux on x86-64.
    pub linux_x86_64: bool,
    /// An NVIDIA driver is installed.
    pub nvidia_driver: bool,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        Self {
            linux_x86_64: cfg!(all(target_os = "linux", target_arch = "x86_64")),
            nvidia_driver: nvidia_driver(),
        }
    }
}

/// The driver shows itself in `/proc`, or (in WSL and containers) by its library.
fn nvidia_driver() -> bool {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib/wsl/lib",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib",
    ];
    Path::new("/proc/driver/nvidia/version").exists()
        || folders.iter().any(|folder| Path::new(folder).join("libcuda.so.1").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_profiles_correspond() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name()), Some(profile));
        }
        assert_eq!(Profile::named("everything"), None);
    }

    #[test]
    fn cuda_is_fetched_where_there_is_a_driver_or_it_is_asked_for() {
        let machine = |nvidia_driver| Machine { linux_x86_64: true, nvidia_driver };
        assert_eq!(Profile::runtime(Compute::Auto, machine(false)), Profile::RuntimeCpu);
        assert_eq!(Profile::runtime(Compute::Auto, machine(true)), Profile::RuntimeCuda);
        assert_eq!(Profile::runtime(Compute::Cpu, machine(true)), Profile::RuntimeCpu);
        assert_eq!(Profile::runtime(Compute::Cuda, machine(false)), Profile::RuntimeCuda);
    }

    #[test]
    fn other_platforms_get_the_whole_of_torch() {
        let machine = Machine { linux_x86_64: false, nvidia_driver: false };
        assert_eq!(Profile::runtime(Compute::Cpu, machine), Profile::RuntimeCuda);
    }

    /// Package names of a lock file, at their versions.
    fn pins(profile: Profile) -> Vec<String> {
        let path = format!("{}/../../requirements/{}.txt", env!("CARGO_MANIFEST_DIR"), profile.name());
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| line.contains("==") && !line.starts_with([' ', '#']));
        lines.map(|line| line.split(" ;").next().unwrap().trim_end_matches(" \\").to_owned()).collect()
    }

    #[test]
    fn each_profile_holds_the_one_before_at_the_same_versions() {
        for pair in Profile::ALL.windows(2) {
            let (smaller, larger) = (pins(pair[0]), pins(pair[1]));
            assert!(smaller.len() > 10);
            for pin in smaller {
                assert!(larger.contains(&pin), "{pin} of {} is not in {}", pair[0].name(), pair[1].name());
            }
        }
    }

    #[test]
    fn locks_are_hashed_and_name_no_host() {
        for profile in Profile::ALL {
            let path = format!("{}/../../requirements/{}.txt", env!("CARGO_MANIFEST_DIR"), profile.name());
            let text = std::fs::read_to_string(path).unwrap();
            assert!(!text.contains("://"), "{}", profile.name());
            assert!(text.matches("--hash=sha256:").count() > pins(profile).len());
        }
    }
}
