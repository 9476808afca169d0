//! ml-visualise with the project's TensorBoard (which `cargo xtask setup` installs) and with
//! stand-ins.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ml_report::tensorboard::EventWriter;

use crate::support::start;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ml-visualise");

/// `runs/base` with one event.
fn runs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(&dir.path().join("runs/base/tensorboard"), 1.0).unwrap();
    writer.add_scalar("Loss/train", 0.5, 1, 2.0).unwrap();
    writer.flush().unwrap();
    dir
}

fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = start(PROGRAM);
    command.current_dir(dir).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A `tensorboard` in `dir/.venv`, which is found before the project's own.
fn stand_in(dir: &Path, script: &str) {
    let path = dir.join(".venv/bin/tensorboard");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn assert_error(output: &Output, code: i32, parts: &[&str]) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{err}");
    let error = err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    let told = &err[err.find("error: ").unwrap_or(err.len())..];
    assert!(!error.is_empty() && parts.iter().all(|part| told.contains(part)), "{parts:?} in: {err}");
    assert!(!err.contains("panicked"), "{err}");
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// The port in the line `TensorBoard is ready at http://127.0.0.1:<port>/`.
fn ready(child: &mut Child) -> u16 {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("TensorBoard is ready at http://127.0.0.1:").unwrap_or_else(|| {
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        panic!("not ready: {line:?}; {err}")
    });
    url.trim_end_matches('/').parse().unwrap()
}

#[test]
fn tensorboard_shows_the_runs_until_it_is_interrupted() {
    let dir = runs();
    let mut child = program(dir.path(), &["--port", "0"]).spawn().unwrap();
    let port = ready(&mut child);
    // It reads the events a moment after it answers.
    let asked = Instant::now();
    let mut answer = get(port, "/data/plugin/scalars/tags");
    while !answer.contains("Loss/train") && asked.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(200));
        answer = get(port, "/data/plugin/scalars/tags");
    }
    assert!(answer.contains("Loss/train") && answer.contains("base/tensorboard"), "{answer}");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "TensorBoard is left behind");
}

#[test]
fn a_signal_is_passed_on_to_tensorboard() {
    let dir = runs();
    // Says that it works by a file, and which signal it got by another.
    stand_in(
        dir.path(),
        "trap 'echo term > got; kill $!; exit 0' TERM\ntouch works\nsleep 60 >/dev/null 2>&1 & wait",
    );
    let mut child = program(dir.path(), &["--port", "0"]).spawn().unwrap();
    let started = Instant::now();
    while !dir.path().join("works").exists() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(fs::read_to_string(dir.path().join("got")).unwrap(), "term\n");
}

#[test]
fn a_port_in_use_is_an_error_that_names_another() {
    let dir = runs();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = program(dir.path(), &["--port", &port]).output().unwrap();
    assert_error(&output, 1, &[&format!("port {port}"), "in use", "--port 0"]);
}

#[test]
fn what_is_no_port_is_a_usage_error() {
    let dir = runs();
    for port in ["70000", "-1", "http"] {
        let output = program(dir.path(), &["--port", port]).output().unwrap();
        assert_error(&output, 2, &["--port", port, "from 0 to 65535"]);
    }
}

#[test]
fn an_early_end_of_tensorboard_is_told_with_its_last_words() {
    let dir = runs();
    stand_in(dir.path(), "echo 'no module named protobuf' >&2; exit 3");
    let output = program(dir.path(), &["--port", "0"]).output().unwrap();
    assert_error(&output, 1, &["exit code 3", "no module named protobuf"]);
}

#[test]
fn where_there_is_no_tensorboard_it_says_how_to_get_one() {
    let dir = runs();
    // Away from the project's own environment.
    let elsewhere: PathBuf = dir.path().join("ml-visualise");
    fs::copy(PROGRAM, &elsewhere).unwrap();
    let output = start(&elsewhere).current_dir(dir.path()).env("PATH", dir.path()).output().unwrap();
    assert_error(&output, 1, &["TensorBoard is not installed", "cargo xtask setup", "pip install"]);
}

#[test]
fn the_command_is_printed_with_the_runs_events_and_flags_of_tensorboards_own() {
    let dir = runs();
    stand_in(dir.path(), "exit 1");
    let args =
        ["runs/base", "--print_command", "--port", "0", "--host", "localhost", "--", "--reload_interval=5"];
    let output = program(dir.path(), &args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.contains(".venv/bin/tensorboard --logdir runs/base/tensorboard --host localhost --port "),
        "{text}"
    );
    assert!(text.ends_with(" --reload_interval=5\n"), "{text}");
    let output = program(dir.path(), &["--", "--port=1"]).output().unwrap();
    assert_error(&output, 2, &["--port=1"]);
}

#[test]
fn launch_is_what_happens_without_a_command() {
    let dir = runs();
    stand_in(dir.path(), "exit 1");
    let printed = |args: &[&str]| {
        let output = program(dir.path(), args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // A port of its own would differ from call to call.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let flags = ["--print_command", "--port", &port];
    let without = printed(&flags);
    assert!(without.contains(" --logdir runs --host 127.0.0.1 "), "{without}");
    assert_eq!(printed(&[&["launch"], &flags[..]].concat()), without);
    // `runs` is a command where it stands first, and a folder behind `launch`.
    let more = ["--", "--samples_per_plugin", "images=100"];
    let with_more = printed(&[&["launch", "runs"], &flags[..], &more[..]].concat());
    assert_eq!(with_more.trim_end(), format!("{} --samples_per_plugin images=100", without.trim_end()));
    // -q leaves out what is said besides: here the program starts, and ends at once.
    let output = program(dir.path(), &["launch", "-q", "--port", &port]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("starting"), "{output:?}");
}

#[test]
fn a_folder_without_events_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_error(&program(dir.path(), &[]).output().unwrap(), 2, &["runs: no such folder", "ml-train"]);
    fs::create_dir(dir.path().join("runs")).unwrap();
    assert_error(&program(dir.path(), &[]).output().unwrap(), 2, &["runs: no TensorBoard events"]);
}
