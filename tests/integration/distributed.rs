//! Several processes that train one network together, on one machine: as a launcher's environment,
//! `torchrun` or `--nproc` starts them.

mod machines;

use std::fs::File;
use std::io::{Read, Seek};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::resume::{same, signal};
use crate::support::{fails, ok, program, read, start, train, workspace};
use crate::train::{digits, python};

/// No training here takes so long, however busy the machine is.
const LIMIT: Duration = Duration::from_mins(2);
/// A mistake or the end of a process is found out by then.
const SOON: Duration = Duration::from_secs(20);

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What `torchrun` tells process `rank` of `size` on one machine.
fn environment(size: usize, rank: usize, port: u16) -> [(&'static str, String); 7] {
    [
        ("RANK", rank.to_string()),
        ("WORLD_SIZE", size.to_string()),
        ("LOCAL_RANK", rank.to_string()),
        ("LOCAL_WORLD_SIZE", size.to_string()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
        ("OMP_NUM_THREADS", "1".to_owned()),
    ]
}

/// Processes that `parent` has started and that are still there.
fn children_of(parent: u32) -> Vec<u32> {
    let line = format!("PPid:\t{parent}");
    let is_child = |id: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        status.lines().any(|found| found == line)
    };
    let names = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.to_string_lossy().parse::<u32>().ok()).filter(is_child).collect()
}

/// How a process ended and what it wrote; no code if a signal killed it.
#[derive(Debug)]
pub struct Ended {
    code: Option<i32>,
    pub out: String,
    err: String,
}

impl Ended {
    /// One of `codes`, and an error that says all of `parts`, without a result or a stack.
    fn assert_refused(&self, codes: &[i32], parts: &[&str]) {
        assert!(self.code.is_some_and(|code| codes.contains(&code)), "{codes:?}: {self:?}");
        assert!(self.err.contains("error: ") && self.out.is_empty(), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is not in: {}", self.err);
        }
        self.assert_no_defect();
    }

    fn assert_no_defect(&self) {
        for part in ["panicked", "backtrace", "defect", "terminate called"] {
            assert!(!self.err.contains(part), "`{part}` is in: {}", self.err);
        }
    }
}

/// All have ended with one of `codes`, and the first says why; others say it too only where they have
/// found it out themselves.
fn assert_all_refused(ended: &[Ended], codes: &[i32], parts: &[&str]) {
    ended[0].assert_refused(codes, parts);
    for other in ended {
        assert!(other.code.is_some_and(|code| codes.contains(&code)), "{codes:?}: {ended:?}");
        assert!(other.out.is_empty(), "{other:?}");
        other.assert_no_defect();
    }
}

/// A process whose output goes to files, which never fill as pipes do. It does not outlive its test.
struct Process {
    child: Child,
    out: File,
    err: File,
}

impl Process {
    fn start(mut command: Command) -> Process {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdin(Stdio::null());
        command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        let child = command.spawn().unwrap();
        Process { child, out, err }
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// As far as it has come.
    fn ended(&mut self) -> Ended {
        let code = self.child.try_wait().unwrap().and_then(|status| status.code());
        let [out, err] = [&mut self.out, &mut self.err].map(|file| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ended { code, out, err }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Those that a launcher has started may not end with it.
        let started = children_of(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for id in started {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// Processes that were started together.
struct Ranks {
    children: Vec<Process>,
}

impl Ranks {
    /// All of `size` processes, each with its own command.
    fn spawn(size: usize, command: impl Fn(usize) -> Command) -> Ranks {
        Ranks::spawn_first(size, size, command)
    }

    /// The first `count` of `size` processes; the others never come.
    fn spawn_first(count: usize, size: usize, command: impl Fn(usize) -> Command) -> Ranks {
        Ranks::spawn_at(free_port(), count, size, command)
    }

    fn spawn_at(port: u16, count: usize, size: usize, command: impl Fn(usize) -> Command) -> Ranks {
        // All are made before any starts: making one writes the configuration that all of them read.
        let commands = (0..count).map(|rank| {
            let mut command = command(rank);
            command.envs(environment(size, rank, port));
            command
        });
        let commands: Vec<Command> = commands.collect();
        Ranks { children: commands.into_iter().map(Process::start).collect() }
    }

    /// A launcher or a single process, as it is.
    fn one(command: Command) -> Ranks {
        Ranks { children: vec![Process::start(command)] }
    }

    fn id(&self, rank: usize) -> u32 {
        self.children[rank].child.id()
    }

    /// Waits until there is `file`, which one of them writes.
    fn wait_for(&mut self, file: &Path) {
        let waiting = Instant::now();
        while !file.exists() {
            let may_come = waiting.elapsed() < LIMIT && self.children.iter_mut().all(Process::is_running);
            assert!(may_come, "there is no {}: {:?}", file.display(), self.ended());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How all end. Those that have not until `limit` are killed, and the test fails.
    fn wait(mut self, limit: Duration) -> Vec<Ended> {
        let waiting = Instant::now();
        while self.children.iter_mut().any(Process::is_running) {
            assert!(waiting.elapsed() < limit, "not ended after {limit:?}: {:?}", self.ended());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.ended()
    }

    fn ended(&mut self) -> Vec<Ended> {
        self.children.iter_mut().map(Process::ended).collect()
    }
}

/// `size` processes of a program that succeeds; only the first of them has a result.
pub fn together(size: usize, command: impl Fn(usize) -> Command) -> Vec<Ended> {
    let ended = Ranks::spawn(size, command).wait(LIMIT);
    for (rank, ended) in ended.iter().enumerate() {
        assert_eq!(ended.code, Some(0), "rank {rank}: {ended:?}");
        assert_eq!(ended.out.is_empty(), rank > 0, "rank {rank}: {ended:?}");
    }
    ended
}

/// `torchrun` from the repository's Python, with two processes of `command`.
fn torchrun(options: &[&str], command: &Command) -> Command {
    let python = workspace().join(".venv/bin/python");
    assert!(python.exists(), "there is no {}: run `cargo xtask setup`", python.display());
    let mut torchrun = start(python);
    torchrun.current_dir(command.get_current_dir().unwrap()).env("OMP_NUM_THREADS", "1");
    torchrun.args(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]).args(options);
    torchrun.arg("--no-python").arg(command.get_program()).args(command.get_args());
    torchrun
}

/// The process with this rank among those that a launcher has started.
fn worker(launcher: u32, rank: usize) -> u32 {
    let wanted = format!("RANK={rank}").into_bytes();
    let is_wanted = |id: &u32| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_slice())
    };
    children_of(launcher).into_iter().find(is_wanted).expect("a worker of this rank")
}

fn summary(run: &Path) -> serde_yaml::Value {
    serde_yaml::from_str(&read(run.join("summary.yaml"))).unwrap()
}

/// The columns of `metrics.csv`, a row an epoch.
fn metrics(run: &Path) -> Vec<Vec<f64>> {
    let text = read(run.join("metrics.csv"));
    text.lines().skip(1).map(|row| row.split(',').map(|value| value.parse().unwrap()).collect()).collect()
}

fn state_hash(run: &Path) -> String {
    python("state_hash.py", &[&run.join("last.pt")])
}

#[test]
fn two_and_three_processes_learn_what_one_does_and_write_one_run() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let data = data.to_str().unwrap();
    let runs = place.path().join("runs");
    let command = |name: &str| {
        let args = ["--data_dir", data, "--num_epochs", "6", "--batch_size", "8", "--run_name", name];
        train(place.path(), &args)
    };
    ok(command("1"));
    let alone = summary(&runs.join("1"));
    let best = |summary: &serde_yaml::Value| summary["best_val_accuracy"].as_f64().unwrap();
    assert!(best(&alone) > 0.7, "{alone:?}");
    for size in [2, 3] {
        let name = size.to_string();
        let ended = together(size, |_| command(&name));
        assert_eq!(ended[0].out.trim(), format!("runs/{size}"));
        let found = summary(&runs.join(&name));
        assert_eq!(found["status"].as_str(), Some("completed"));
        assert_eq!(found["dataset"], alone["dataset"]);
        // With fewer steps, each of as many more images.
        assert!(best(&found) > best(&alone) - 0.25, "{size} processes: {found:?} and {alone:?}");
        let steps = [&alone, &found].map(|summary| summary["steps"].as_u64().unwrap());
        assert_eq!(steps[1], 6 * (steps[0] / 6).div_ceil(size as u64));
    }
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 3, "a folder a training, not a process");
}

#[test]
fn as_many_processes_give_the_same_bits_and_only_the_first_shows_its_log() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let command = |name: &str, more: &[&str]| {
        let args = ["--data_dir", data.to_str().unwrap(), "--batch_size", "8", "--run_name", name];
        train(place.path(), &[&args[..], more].concat())
    };
    let quiet = together(2, |_| command("a", &[]));
    assert!(quiet[0].err.contains("INFO"), "{}", quiet[0].err);
    assert!(!quiet[1].err.contains("INFO"), "{}", quiet[1].err);
    let loud = together(2, |_| command("b", &["--all_ranks"]));
    assert!(loud[1].err.contains("INFO"), "{}", loud[1].err);
    for line in quiet[1].err.lines().chain(loud[1].err.lines()) {
        assert!(line.starts_with("rank 1: "), "{line}");
    }
    let runs = place.path().join("runs");
    same(&runs.join("a"), &runs.join("b"));
    assert_eq!(read(runs.join("a/metrics.csv")), read(runs.join("b/metrics.csv")));
}

/// Their parts of the pass over the training split give the batch norms of one process.
#[test]
fn processes_finish_one_average_of_the_last_epochs() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let command = |name: &str, accumulated: &str| {
        let own = ["--data_dir", data.to_str().unwrap(), "--batch_size", "10", "--run_name", name];
        let sgd = ["--set", "optimizer={name: sgd, lr: 0.02}", "--precision", "fp32", "--num_epochs", "4"];
        let swa = ["--set", "training.swa={start: 0.5}", "--set", accumulated];
        train(place.path(), &[&own[..], &sgd[..], &swa[..]].concat())
    };
    let runs = place.path().join("runs");
    ok(command("one", "training.gradient_accumulation_steps=2"));
    for name in ["a", "b"] {
        together(2, |_| command(name, "training.gradient_accumulation_steps=1"));
    }
    same(&runs.join("a"), &runs.join("b"));
    let [one, two] = ["one", "a"].map(|name| summary(&runs.join(name))["swa"].clone());
    assert_eq!(one["n_averaged"].as_u64(), Some(2));
    assert_eq!(two["n_averaged"].as_u64(), Some(2));
    let [one, two] = [one, two].map(|swa| swa["val_loss"].as_f64().unwrap());
    assert!((one - two).abs() < 1e-3 * one, "{one} and {two}");
}

/// With batch norms, a number of batches that does not divide among the processes, and a smaller last
/// batch.
#[test]
fn processes_follow_one_that_accumulates_as_many_gradients() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let count = |split: &str| read(data.join(format!("splits/{split}.txt"))).lines().count();
    let images = count("train");
    assert!(images.div_ceil(10) % 2 == 1 && images % 10 != 0, "{images} images");
    let command = |name: &str, accumulated: usize| {
        let accumulated = format!("training.gradient_accumulation_steps={accumulated}");
        // Adam divides by small gradients, of which little is exact.
        let optimizer = ["--set", "optimizer={name: sgd, lr: 0.02}", "--precision", "fp32"];
        let own = ["--data_dir", data.to_str().unwrap(), "--batch_size", "10", "--run_name", name];
        train(place.path(), &[&own[..], &optimizer, &["--set", accumulated.as_str()]].concat())
    };
    for (accumulated, size) in [(1, 2), (2, 2), (1, 3)] {
        let names = [format!("one_{size}_{accumulated}"), format!("many_{size}_{accumulated}")];
        ok(command(&names[0], size * accumulated));
        together(size, |_| command(&names[1], accumulated));
        let [one, many] = names.map(|name| metrics(&place.path().join("runs").join(name)));
        assert_eq!((one.len(), many.len()), (2, 2));
        for (one, many) in one.iter().zip(&many) {
            // Epoch, step, learning rate.
            assert_eq!(one[..3], many[..3]);
            // train_loss and val_loss.
            for column in [3, 5] {
                let apart = (one[column] - many[column]).abs() / one[column];
                assert!(apart < 1e-4, "{accumulated} batches, {size} processes: {one:?} and {many:?}");
            }
            // Every image counts once: accuracies are whole numbers of them. One may be on the border.
            for (column, images) in [(4, images), (6, count("val"))] {
                let right = [one, many].map(|row| row[column] * images as f64);
                assert!(right.iter().all(|right| (right - right.round()).abs() < 1e-3), "{right:?}");
                assert!((right[0] - right[1]).abs() < 1.5, "{right:?}");
            }
        }
    }
    let rows = read(place.path().join("runs/many_2_1/report/predictions_test.csv")).lines().count();
    assert_eq!(rows, count("test") + 1);
}

#[test]
fn a_signal_to_one_process_stops_all_and_the_run_resumes_to_the_same_bits() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let command = |name: &str| {
        let data = data.to_str().unwrap();
        let args = ["--data_dir", data, "--num_epochs", "10", "--batch_size", "4", "--run_name", name];
        train(place.path(), &args)
    };
    together(2, |_| command("whole"));

    let mut ranks = Ranks::spawn(2, |_| command("cut"));
    ranks.wait_for(&runs.join("cut/last.pt"));
    signal("-TERM", ranks.id(1));
    for ended in ranks.wait(SOON) {
        assert_eq!(ended.code, Some(143), "{ended:?}");
        ended.assert_no_defect();
    }
    let before = summary(&runs.join("cut"));
    assert_eq!(before["status"].as_str(), Some("interrupted"), "{before:?}");
    let rows = read(runs.join("cut/metrics.csv"));
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(runs.join("cut")).arg(runs.join("alone"));
    ok(copy);

    together(2, |_| train(place.path(), &["--resume", "runs/cut"]));
    same(&runs.join("whole"), &runs.join("cut"));

    // A process alone goes on where the two were.
    ok(train(place.path(), &["--resume", "runs/alone"]));
    let after = summary(&runs.join("alone"));
    assert_eq!((after["status"].as_str(), after["epochs"].as_u64()), (Some("completed"), Some(10)));
    assert!(after["steps"].as_u64() > before["steps"].as_u64(), "{before:?} {after:?}");
    let all = read(runs.join("alone/metrics.csv"));
    assert!(all.starts_with(&rows) && all.lines().count() == 11, "{rows} {all}");
}

#[test]
fn a_killed_process_ends_the_others_with_an_error_that_names_it() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let run = place.path().join("runs/killed");
    let data = data.to_str().unwrap();
    let args = ["--data_dir", data, "--num_epochs", "2000", "--batch_size", "4", "--run_name", "killed"];
    let mut ranks = Ranks::spawn(2, |_| train(place.path(), &args));
    ranks.wait_for(&run.join("last.pt"));
    signal("-KILL", ranks.id(1));
    let ended = ranks.wait(SOON);
    assert_eq!(ended[1].code, None);
    let first = &ended[0];
    first.assert_refused(&[1], &[]);
    let errors: Vec<&str> = first.err.lines().filter(|line| line.contains("error: ")).collect();
    let is_told = |line: &&str| line.contains("rank 1") || line.contains("connection");
    assert!(errors.iter().any(is_told), "{}", first.err);
    let summary = summary(&run);
    assert_eq!(summary["status"].as_str(), Some("failed"), "{summary:?}");
}

#[test]
fn torchrun_starts_all_again_after_one_was_killed_and_the_run_completes() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let run = place.path().join("runs/again");
    let data = data.to_str().unwrap();
    let args = ["--data_dir", data, "--num_epochs", "20", "--batch_size", "4"];
    let training = train(place.path(), &[&args[..], &["--resume", "auto", "--run_name", "again"]].concat());
    let mut launcher = Ranks::one(torchrun(&["--max-restarts", "1"], &training));
    launcher.wait_for(&run.join("last.pt"));
    signal("-KILL", worker(launcher.id(0), 1));
    let ended = launcher.wait(LIMIT);
    assert_eq!(ended[0].code, Some(0), "{ended:?}");
    let summary = summary(&run);
    assert_eq!((summary["status"].as_str(), summary["epochs"].as_u64()), (Some("completed"), Some(20)));
    assert_eq!(metrics(&run).len(), 20);
    assert_eq!(std::fs::read_dir(place.path().join("runs")).unwrap().count(), 1, "the same run");
    let warning = "a run goes on only with --run_name NAME --resume auto";
    assert!(!ended[0].err.contains(warning), "{}", ended[0].err);

    // What is there to go on with is said before it is needed.
    let training = train(place.path(), &["--data_dir", data, "--num_epochs", "1", "--run_name", "other"]);
    let ended = Ranks::one(torchrun(&["--max-restarts", "1"], &training)).wait(LIMIT);
    assert_eq!((ended[0].code, ended[0].err.matches(warning).count()), (Some(0), 1), "{}", ended[0].err);
}

#[test]
fn an_environment_that_makes_no_sense_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 10);
    let command = || train(place.path(), &["--data_dir", data.to_str().unwrap()]);
    for (name, value, part) in [
        ("WORLD_SIZE", None, "WORLD_SIZE is not set"),
        ("MASTER_PORT", None, "MASTER_PORT is not set"),
        ("RANK", Some("2"), "RANK is 2, but WORLD_SIZE is 2"),
        ("RANK", Some("first"), "RANK is `first`"),
    ] {
        let mut command = command();
        command.envs(environment(2, 0, free_port())).env_remove(name);
        if let Some(value) = value {
            command.env(name, value);
        }
        Ranks::one(command).wait(SOON)[0].assert_refused(&[2], &[part]);
    }

    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ended = Ranks::spawn_at(port, 1, 2, |_| command()).wait(SOON);
    ended[0].assert_refused(&[1, 2], &["MASTER_PORT", &port.to_string(), "taken"]);
    assert!(!place.path().join("runs").exists(), "nothing was written");
}

#[test]
fn processes_that_were_started_differently_are_told_which_of_them_and_in_what() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 2, 20);
    let other = place.path().join("other");
    digits(&other, 2, 25);
    let refused = |own: &[&str], folder: &Path, parts: &[&str]| {
        let ranks = Ranks::spawn(2, |rank| {
            let own = if rank == 1 { own } else { &[] };
            let mut command =
                train(place.path(), &[&["--data_dir", "digits", "--batch_size", "8"], own].concat());
            if rank == 1 && folder != place.path() {
                std::fs::copy(place.path().join("quick.yaml"), folder.join("quick.yaml")).unwrap();
                command.current_dir(folder);
            }
            command
        });
        assert_all_refused(&ranks.wait(SOON), &[1, 2], parts);
        assert!(!place.path().join("runs").exists(), "nothing was written");
    };
    refused(&["--lr", "0.5"], place.path(), &["rank 1", "settings", "--lr 0.5"]);
    refused(&[], &other, &["rank 1", "data set"]);
}

#[test]
fn a_process_that_never_comes_is_named_after_the_timeout() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let timeout = ["--set", "training.distributed.timeout_seconds=3", "--batch_size", "4"];
    let args = [&["--data_dir", data.to_str().unwrap()][..], &timeout].concat();
    let ended = Ranks::spawn_first(2, 3, |_| train(place.path(), &args)).wait(SOON);
    assert_all_refused(&ended, &[1], &["rank 2", "timeout_seconds"]);
}

#[test]
fn settings_that_do_not_suit_several_processes_are_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let refused = |own: [&str; 2], parts: &[&str]| {
        let args = [&["--data_dir", data.to_str().unwrap()][..], &own].concat();
        let ended = Ranks::spawn(2, |_| train(place.path(), &args)).wait(SOON);
        assert_all_refused(&ended, &[1, 2], parts);
    };
    // One batch cannot be shared.
    refused(["--batch_size", "1000"], &["batch_size"]);
    let nccl = ["--set", "training.distributed.backend=nccl"];
    refused(nccl, &["training.distributed.backend", "nccl"]);
    refused(["--set", "training.sam={}"], &["training.sam", "several processes"]);
    // As rank 0 has measured.
    refused(["--time_limit", "0.000001s"], &["training.max_time", "shorter than one epoch, whose training"]);
    let args = ["--data_dir", data.to_str().unwrap(), "--dry_run", "--set"];
    for (key, value) in [("timeout_seconds", "0"), ("bucket_mb", "-1")] {
        let setting = format!("training.distributed.{key}={value}");
        let args = [&args[..], &[setting.as_str()]].concat();
        fails(train(place.path(), &args), 2, &["above 0", &format!("training.distributed.{key}")]);
    }
    let args = ["--data_dir", data.to_str().unwrap(), "--nproc", "0"];
    fails(train(place.path(), &args), 2, &["--nproc"]);
    assert!(!place.path().join("runs").exists(), "nothing was written");
}

#[test]
fn nproc_and_torchrun_train_as_processes_in_such_an_environment_do() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let runs = place.path().join("runs");
    let command = |name: &str, more: &[&str]| {
        let args = ["--data_dir", data.to_str().unwrap(), "--batch_size", "8", "--run_name", name];
        train(place.path(), &[&args[..], more].concat())
    };
    together(2, |_| command("plain", &[]));
    let mut nproc = command("nproc", &["--nproc", "2"]);
    nproc.env("OMP_NUM_THREADS", "1");
    let torchrun = torchrun(&[], &command("torchrun", &[]));
    for (name, launcher) in [("nproc", nproc), ("torchrun", torchrun)] {
        let ended = Ranks::one(launcher).wait(LIMIT);
        assert_eq!(ended[0].code, Some(0), "{name}: {ended:?}");
        assert_eq!(ended[0].out.trim(), format!("runs/{name}"));
        assert_eq!(read(runs.join("plain/metrics.csv")), read(runs.join(name).join("metrics.csv")));
        assert_eq!(state_hash(&runs.join("plain")), state_hash(&runs.join(name)), "{name}");
    }
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 3);
}

#[test]
fn predictions_and_evaluations_of_two_processes_are_those_of_one() {
    let place = tempfile::tempdir().unwrap();
    // 63 images in batches of 5: 13, which two processes cannot share evenly.
    let data = digits(place.path(), 3, 21);
    let args = ["--data_dir", data.to_str().unwrap(), "--batch_size", "8", "--run_name", "a"];
    ok(train(place.path(), &args));
    let infer = |more: &[&str]| {
        let args = ["--device", "cpu", "--checkpoint", "runs/a", "--batch_size", "5"];
        program(env!("CARGO_BIN_EXE_ml-inference"), place.path(), &[&args[..], more].concat())
    };

    let predict = ["digits/raw", "--format", "csv", "--top_k", "1"];
    let one = String::from_utf8(ok(infer(&predict)).stdout).unwrap();
    let two = together(2, |_| infer(&predict)).swap_remove(0).out;
    assert_eq!((one.lines().count(), two.lines().count()), (64, 64), "{two}");
    assert_eq!(one.lines().next(), two.lines().next());
    for (one, two) in one.lines().zip(two.lines()).skip(1) {
        assert_eq!(one.split(',').count(), two.split(',').count());
        for (a, b) in one.split(',').zip(two.split(',')) {
            // The last digits of a figure depend on the batch.
            match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{one} and {two}"),
                _ => assert_eq!(a, b, "{one} and {two}"),
            }
        }
    }

    let embed = |output: &str| {
        let args = [
            "embed",
            "runs/a",
            "--device",
            "cpu",
            "--split",
            "train",
            "--batch_size",
            "5",
            "--output",
            output,
        ];
        program(env!("CARGO_BIN_EXE_ml-visualise"), place.path(), &args)
    };
    ok(embed("one"));
    together(2, |_| embed("two"));
    let table = |folder: &str| read(place.path().join(folder).join("embeddings_train.csv"));
    assert_eq!(table("one"), table("two"));
    let values = |folder: &str| {
        let bytes = std::fs::read(place.path().join(folder).join("embeddings_train.npy")).unwrap();
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let floats = bytes[header..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        floats.collect::<Vec<f32>>()
    };
    let (one, two) = (values("one"), values("two"));
    assert_eq!((one.len(), one.len() % (table("one").lines().count() - 1)), (two.len(), 0));
    for (one, two) in one.iter().zip(&two) {
        assert!((one - two).abs() <= 1e-4 * one.abs().max(1.0), "{one} and {two}");
    }

    let report = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    for split in ["val", "train"] {
        let evaluate = ["--split", split, "--json"];
        let one = report(&String::from_utf8(ok(infer(&evaluate)).stdout).unwrap());
        let two = report(&together(2, |_| infer(&evaluate))[0].out);
        for figure in ["accuracy", "num_samples", "confusion_matrix"] {
            assert!(!one[figure].is_null());
            assert_eq!(one[figure], two[figure], "{split}: {figure}");
        }
    }
}

#[test]
fn processes_of_a_machine_share_what_is_cached_and_train_as_without_it() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let run = |name: &str, settings: &[&str]| {
        let data = data.to_str().unwrap();
        let mut args = vec!["--data_dir", data, "--batch_size", "8", "--num_epochs", "3", "--run_name", name];
        args.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
        together(2, |_| train(place.path(), &args));
        place.path().join("runs").join(name)
    };
    let kept = |folder: &str, what: &str| {
        let names =
            std::fs::read_dir(place.path().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(what)).count()
    };

    let plain = run("plain", &["data.cache=none"]);
    for cache in ["ram", "disk"] {
        let folder = format!("data.cache_dir={}/pixels", place.path().display());
        let cached = run(cache, &[&format!("data.cache={cache}"), &folder]);
        assert_eq!(state_hash(&plain), state_hash(&cached), "{cache}");
    }
    // Training and validation images are prepared in two ways.
    assert_eq!(kept("pixels", "pixels-"), 2);

    let frozen =
        ["model.freeze=backbone", "transforms.train.random_crop=null", "transforms.train.resize=[16, 16]"];
    let off = run("off", &[&frozen[..], &["training.feature_cache=off"]].concat());
    let auto = run("auto", &frozen);
    let log = read(auto.join("logs/train.log"));
    assert!(log.contains("frozen layers are computed once, and kept in memory"), "{log}");
    assert!(!log.contains("no features"), "{log}");
    assert_eq!(state_hash(&off), state_hash(&auto));

    // With views, two processes follow one that accumulates as many gradients.
    let folder = format!("data.cache_dir={}/features", place.path().display());
    let views = |place: &str| format!("training.feature_cache={{views: 2, in: {place}}}");
    let [ram, disk] = ["ram", "disk"]
        .map(|place| run(&format!("views_{place}"), &["model.freeze=backbone", &views(place), &folder]));
    assert_eq!(state_hash(&ram), state_hash(&disk));
    assert_eq!(kept("features", "features-"), 3, "two views, and the validation images");
    let args = ["--data_dir", data.to_str().unwrap(), "--batch_size", "8", "--num_epochs", "3"];
    let set = ["--set", "model.freeze=backbone", "--set", "training.gradient_accumulation_steps=2", "--set"];
    ok(train(place.path(), &[&args[..], &["--run_name", "one"], &set, &[&views("ram")]].concat()));
    for (one, two) in metrics(&place.path().join("runs/one")).iter().zip(metrics(&ram)) {
        for column in [3, 5] {
            assert!((one[column] - two[column]).abs() < 1e-3 * one[column], "{one:?} and {two:?}");
        }
    }
}

/// Whoever opens an image whose lease another process holds waits for that one, 45 s at most, as for a
/// file server that does not answer.
const HOLD: &str = "
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
image = os.open(sys.argv[1], os.O_RDWR)
for _ in range(1000):
    try:
        fcntl.fcntl(image, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        print('held', flush=True)
        time.sleep(120)
    except BlockingIOError:  # It is being read.
        time.sleep(0.01)
";

#[test]
fn a_process_that_waits_for_an_image_for_ever_is_named_and_all_end() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let run = place.path().join("runs/stuck");
    let timeout = ["--set", "training.distributed.timeout_seconds=6", "--run_name", "stuck"];
    let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "2000", "--batch_size", "4"];
    let mut ranks = Ranks::spawn(2, |_| train(place.path(), &[&args[..], &timeout].concat()));
    ranks.wait_for(&run.join("last.pt"));
    let image = data.join(read(data.join("splits/train.txt")).lines().next().unwrap());
    let mut hold = Command::new(workspace().join(".venv/bin/python"));
    hold.args(["-c", HOLD]).arg(&image);
    let mut holder = Process::start(hold);
    while holder.ended().out.is_empty() {
        if !holder.is_running() {
            eprintln!("no file can be held here: nothing is tested: {:?}", holder.ended());
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let held = Instant::now();
    let ended = ranks.wait(LIMIT);
    assert!(held.elapsed() < Duration::from_secs(45), "the image came: {ended:?}");
    for ended in &ended {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.assert_no_defect();
    }
    assert!(ended.iter().any(|ended| ended.err.contains("waiting for images")), "{ended:?}");
}
