//! What to install: four locked lists of requirements, each holding all of the one before it.

use std::path::Path;
use std::process::Command;

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
            Compute::Auto => machine.driver.is_some_and(Driver::serves_libtorch),
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
    /// NVIDIA's, if one is installed.
    pub driver: Option<Driver>,
}

impl Machine {
    /// This one, with the help of `python` where there is one.
    pub fn this(python: Option<&Path>) -> Self {
        let python = python.unwrap_or(Path::new("python3"));
        Self {
            linux_x86_64: cfg!(all(target_os = "linux", target_arch = "x86_64")),
            driver: asked(python).or_else(|| shows().then_some(Driver { cuda: None })),
        }
    }

    /// What keeps its GPU from being used, with the remedy.
    pub fn driver_problem(self) -> Option<String> {
        let found = self.driver.filter(|driver| !driver.serves_libtorch())?.cuda?;
        let (major, minor) = (found / 1000, found % 1000 / 10);
        Some(format!(
            "the NVIDIA driver serves CUDA {major}.{minor}, but this libtorch needs {}.0 (driver 580 or newer): \
             update the driver, then run `cargo xtask setup --compute cuda`",
            CUDA / 1000
        ))
    }
}

/// The version of CUDA that the locked libtorch is built for, as the driver counts: 13.0.
const CUDA: i64 = 13_000;

/// NVIDIA's driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The version of CUDA that it serves, 12080 for 12.8, if it says so.
    pub cuda: Option<i64>,
}

impl Driver {
    fn serves_libtorch(self) -> bool {
        self.cuda.is_none_or(|version| version >= CUDA)
    }
}

/// Asks the driver's library, which is found as the programs will find it.
const ASK: &str = "
import ctypes
version = ctypes.c_int()
if ctypes.CDLL('libcuda.so.1').cuDriverGetVersion(ctypes.byref(version)) == 0:
    print(version.value)
";

fn asked(python: &Path) -> Option<Driver> {
    let output = Command::new(python).args(["-I", "-c", ASK]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(Driver { cuda: Some(text.trim().parse().ok()?) })
}

/// Without Python, the driver shows itself in `/proc`, or (in WSL and containers) by its library.
fn shows() -> bool {
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
        let machine = |has_driver: bool| Machine {
            linux_x86_64: true,
            driver: has_driver.then_some(Driver { cuda: None }),
        };
        assert_eq!(Profile::runtime(Compute::Auto, machine(false)), Profile::RuntimeCpu);
        assert_eq!(Profile::runtime(Compute::Auto, machine(true)), Profile::RuntimeCuda);
        assert_eq!(Profile::runtime(Compute::Cpu, machine(true)), Profile::RuntimeCpu);
        assert_eq!(Profile::runtime(Compute::Cuda, machine(false)), Profile::RuntimeCuda);
    }

    #[test]
    fn a_driver_that_is_too_old_gets_the_cpus_libraries_and_is_named() {
        let machine = |cuda| Machine { linux_x86_64: true, driver: Some(Driver { cuda: Some(cuda) }) };
        assert_eq!(Profile::runtime(Compute::Auto, machine(12_080)), Profile::RuntimeCpu);
        assert_eq!(Profile::runtime(Compute::Cuda, machine(12_080)), Profile::RuntimeCuda);
        assert_eq!(Profile::runtime(Compute::Auto, machine(13_010)), Profile::RuntimeCuda);
        let problem = machine(12_080).driver_problem().unwrap();
        assert!(problem.contains("12.8") && problem.contains("13.0") && problem.contains("580"), "{problem}");
        assert_eq!(machine(13_000).driver_problem(), None);
    }

    #[test]
    fn other_platforms_get_the_whole_of_torch() {
        let machine = Machine { linux_x86_64: false, driver: None };
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
