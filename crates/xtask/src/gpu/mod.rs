//! Packs what proves the programs on a GPU: they, their configurations, images, and a script that
//! runs every check there. Nothing is built or fetched on that machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::setup::{self, LIBTORCH_VERSION, Options, Purpose};
use crate::shell::{BUILD, Shell};

/// What the pack may weigh.
const MAX_BYTES: u64 = 60_000_000;
/// Programs of the package ml-cli.
const PROGRAMS: [&str; 2] = ["ml-train", "ml-inference"];
/// Examples of the package ml-core.
const EXAMPLES: [&str; 2] = ["gpu_check", "bench_step"];
/// What Python runs beside them.
const PYTHON: [&str; 3] =
    ["benches/python/step.py", "benches/python/images.py", "tests/reference/compare_runs.py"];
/// What is trained, beside all of [`OWN_CONFIGS`].
const CONFIGS: [&str; 2] = ["configs/digits.yaml", "benches/chaos.yaml"];
const OWN_CONFIGS: &str = "crates/xtask/src/gpu/configs";
const SCRIPT: &str = include_str!("run.sh");
/// Digits a class that are trained with; the others are the test split.
const DIGITS_A_CLASS: usize = 140;
/// Images a class that a folder of one's own gives, if there is room for them.
const IMAGES_A_CLASS: usize = 300;

/// Where the pack goes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the pack; it must not exist
    #[arg(long, value_name = "FOLDER", required_unless_present = "try_on_cpu")]
    pack: Option<PathBuf>,
    /// A folder of class folders, or one with such a folder in train/, with larger images
    /// (CIFAR-10's, say), of which as many as there is room for are packed for the timing of epochs
    #[arg(long, visible_alias = "cifar10", value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Pack the programs of the dev profile in target/gpu-check, and run the script here on the CPU
    #[arg(long, conflicts_with = "pack")]
    try_on_cpu: bool,
    #[command(flatten)]
    options: Options,
}

/// # Errors
/// Set-up or the build fails, a file cannot be copied, or the pack is too large.
pub fn run(shell: &Shell, args: &Args) -> Result<()> {
    let tried = shell.path("target/gpu-check");
    let pack = args.pack.as_ref().unwrap_or(&tried);
    if args.pack.is_none() && pack.exists() {
        fs::remove_dir_all(pack).with_context(|| format!("cannot remove {}", pack.display()))?;
    }
    if pack.exists() {
        bail!("--pack: {} exists already", pack.display());
    }
    let purpose = if args.try_on_cpu { Purpose::Test } else { Purpose::Run };
    let shell = setup::run(shell, purpose, &args.options)?;
    let profile: &[&str] = if args.try_on_cpu { &[] } else { &["--release"] };
    shell.run("cargo", &[&BUILD[..], profile].concat())?;
    let built = shell.target_dir()?.join(if args.try_on_cpu { "debug" } else { "release" });
    let max = if args.try_on_cpu { u64::MAX } else { MAX_BYTES };
    let gathered = programs(&shell, pack, &built, if args.try_on_cpu { "--fast" } else { "--best" })
        .and_then(|()| rest(&shell, pack, args.images.as_deref(), max));
    let bytes = checked(pack, gathered, max)?;
    let script = pack.join("run.sh");
    if args.try_on_cpu {
        let python = setup::venv_python(&shell);
        return shell.run(&script, &["--device", "cpu", "--python", &python.to_string_lossy()]);
    }
    println!(
        "{}: {:.0} MB. On a machine with a GPU and libtorch {LIBTORCH_VERSION} for CUDA: {}",
        pack.display(),
        bytes as f64 / 1e6,
        script.display()
    );
    Ok(())
}

/// Packs the programs that were `built`, compressed.
fn programs(shell: &Shell, pack: &Path, built: &Path, effort: &str) -> Result<()> {
    let folder = pack.join("bin");
    let examples = EXAMPLES.map(|name| Path::new("examples").join(name));
    for name in PROGRAMS.map(PathBuf::from).into_iter().chain(examples) {
        copy_into(&built.join(name), &folder)?;
    }
    // Commands are run in the workspace's root.
    let folder = std::path::absolute(&folder).context("there is no current folder")?;
    for program in entries(&folder)? {
        shell.run("gzip", &[effort, &program.to_string_lossy()])?;
    }
    Ok(())
}

/// Packs all that the programs and the script take, with as many of the user's images as leave the
/// pack no larger than `max` bytes.
fn rest(shell: &Shell, pack: &Path, own: Option<&Path>, max: u64) -> Result<()> {
    for name in PYTHON {
        copy_into(&shell.path(name), &pack.join("python"))?;
    }
    let configs = CONFIGS.map(|name| shell.path(name)).into_iter().chain(entries(&shell.path(OWN_CONFIGS))?);
    for path in configs {
        copy_into(&path, &pack.join("configs"))?;
    }
    let script = pack.join("run.sh");
    fs::write(&script, SCRIPT.replace("@VERSION@", LIBTORCH_VERSION))
        .with_context(|| format!("cannot write {}", script.display()))?;
    make_executable(&script)?;
    let digits = shell.path("tests/data/digits/raw");
    images(&digits, &pack.join("digits/train"), 0, DIGITS_A_CLASS)?;
    images(&digits, &pack.join("digits/test"), DIGITS_A_CLASS, usize::MAX)?;
    let Some(folder) = own else { return Ok(()) };
    let train = folder.join("train");
    let folder = if train.is_dir() { train } else { folder.to_owned() };
    let count = how_many(&folder, max.saturating_sub(size(pack)?))?;
    ensure!(count > 0, "--images: {} has no images, or none for which the pack has room", folder.display());
    println!("{}: {count} images of each class", folder.display());
    images(&folder, &pack.join("images/train"), 0, count)
}

/// The bytes of a pack that is gathered, and no larger than `max`; any other is removed.
fn checked(pack: &Path, gathered: Result<()>, max: u64) -> Result<u64> {
    let checked = gathered.and_then(|()| size(pack)).and_then(|bytes| {
        ensure!(bytes <= max, "{} would have {bytes} bytes, more than {max}", pack.display());
        Ok(bytes)
    });
    if let Err(problem) = &checked
        && pack.exists()
    {
        fs::remove_dir_all(pack).with_context(|| format!("{problem:#}; cannot remove {}", pack.display()))?;
    }
    checked
}

fn copy_into(from: &Path, folder: &Path) -> Result<()> {
    copy(from, &folder.join(from.file_name().context("a file has a name")?))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

/// What a folder holds, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = read.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Of each class folder in `from`, `count` files after the first `skipped`.
fn images(from: &Path, to: &Path, skipped: usize, count: usize) -> Result<()> {
    for class in entries(from)?.into_iter().filter(|path| path.is_dir()) {
        let own = to.join(class.file_name().context("a folder has a name")?);
        for file in entries(&class)?.into_iter().filter(|path| path.is_file()).skip(skipped).take(count) {
            copy_into(&file, &own)?;
        }
    }
    Ok(())
}

/// The files of each class folder, and their bytes.
fn classes(folder: &Path) -> Result<Vec<Vec<(PathBuf, u64)>>> {
    let with_size = |path: PathBuf| {
        let bytes = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok((path, bytes))
    };
    let folders = entries(folder)?.into_iter().filter(|path| path.is_dir());
    let files = folders.map(|class| {
        entries(&class)?.into_iter().filter(|path| path.is_file()).map(with_size).collect::<Result<Vec<_>>>()
    });
    files.collect()
}

/// How many images of each class have at most so many bytes together: [`IMAGES_A_CLASS`] or fewer.
fn how_many(folder: &Path, bytes: u64) -> Result<usize> {
    let classes = classes(folder)?;
    let most = classes.iter().map(Vec::len).max().unwrap_or(0).min(IMAGES_A_CLASS);
    let mut left = bytes;
    for count in 0..most {
        let round: u64 = classes.iter().filter_map(|files| Some(files.get(count)?.1)).sum();
        match left.checked_sub(round) {
            Some(rest) => left = rest,
            None => return Ok(count),
        }
    }
    Ok(most)
}

/// Bytes of all files.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in entries(folder)? {
        bytes += if path.is_dir() { size(&path)? } else { path.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_of_each_class_are_packed() {
        let place = std::env::temp_dir().join(format!("xtask-gpu-{}", std::process::id()));
        for file in ["from/a/1.png", "from/a/2.png", "from/a/3.png", "from/b/1.png"] {
            let path = place.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "xy").unwrap();
        }
        fs::write(place.join("from/list.txt"), "no class").unwrap();
        images(&place.join("from"), &place.join("to"), 0, 2).unwrap();
        let files = |class: &str| entries(&place.join("to").join(class)).unwrap().len();
        assert_eq!((files("a"), files("b")), (2, 1));
        assert_eq!(size(&place.join("to")).unwrap(), 6);
        images(&place.join("from"), &place.join("rest"), 2, 9).unwrap();
        assert!(place.join("rest/a/3.png").exists() && !place.join("rest/a/2.png").exists());
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn a_pack_that_is_too_large_or_not_complete_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let pack = place.path().join("pack");
        let made = || {
            fs::create_dir_all(pack.join("bin")).unwrap();
            fs::write(pack.join("bin/program"), "123456789").unwrap();
            fs::write(pack.join("run.sh"), "x").unwrap();
        };
        made();
        assert_eq!(checked(&pack, Ok(()), 10).unwrap(), 10);
        assert!(pack.join("run.sh").exists());
        let error = checked(&pack, Ok(()), 9).unwrap_err().to_string();
        assert!(error.contains("10 bytes, more than 9"), "{error}");
        assert!(!pack.exists());
        made();
        let error = checked(&pack, Err(anyhow::anyhow!("the disk is full")), 10).unwrap_err();
        assert_eq!(error.to_string(), "the disk is full");
        assert!(!pack.exists());
        // Nothing was written yet.
        assert!(checked(&pack, Err(anyhow::anyhow!("no programs")), 10).is_err());
    }

    #[test]
    fn as_many_images_are_packed_as_there_is_room_for() {
        let place = tempfile::tempdir().unwrap();
        for (file, bytes) in [("a/1.png", 3), ("a/2.png", 3), ("a/3.png", 3), ("b/1.png", 4), ("b/2.png", 4)]
        {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        }
        // Rounds of 7, 7 and 3 bytes.
        for (bytes, count) in [(6, 0), (7, 1), (13, 1), (14, 2), (16, 2), (17, 3), (1000, 3)] {
            assert_eq!(how_many(place.path(), bytes).unwrap(), count, "{bytes}");
        }
    }

    /// `run.sh` is not run with every option in the tests, so what it names is looked for here.
    #[test]
    fn the_script_trains_with_packed_configurations_and_runs_packed_programs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let own = entries(&root.join(OWN_CONFIGS)).unwrap();
        let packed = CONFIGS.iter().map(|name| root.join(name)).chain(own);
        let packed: Vec<String> =
            packed.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        let words: Vec<&str> = SCRIPT.split_whitespace().collect();
        let mut trained: Vec<&str> =
            words.windows(2).filter(|pair| pair[0] == "train").map(|pair| pair[1]).collect();
        trained.retain(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert!(trained.contains(&"digits") && trained.contains(&"full"), "{trained:?}");
        for name in trained.iter().chain(&["cifar10"]) {
            assert!(packed.iter().any(|known| known == name), "{name} is not packed: {packed:?}");
        }
        for (folder, names) in
            [("$bin/", [&PROGRAMS[..], &EXAMPLES].concat()), ("$here/python/", PYTHON.into())]
        {
            for rest in SCRIPT.split(folder).skip(1) {
                let name = rest.split(['"', ' ']).next().unwrap();
                let is_packed = names.iter().any(|known| Path::new(known).file_name().unwrap() == name);
                assert!(is_packed, "{folder}{name}");
            }
        }
    }
}
