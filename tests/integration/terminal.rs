//! What the programs write to a terminal: a pseudo-terminal stands in for one.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::Termios;

use crate::support::{small_digits, start, train};

/// The environment of a terminal without colours.
const PLAIN: [&[(&str, &str)]; 5] = [
    &[("TERM", "dumb")],
    &[("TERM", "")],
    &[],
    &[("TERM", "xterm"), ("NO_COLOR", "1")],
    &[("TERM", "xterm"), ("CLICOLOR", "0")],
];

/// Runs `command` with stderr on a terminal; how it ends and what the terminal got.
fn on_terminal(mut command: Command, environment: &[(&str, &str)]) -> (ExitStatus, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlags::NOCTTY.bits() as i32);
    let theirs = options.read(true).write(true).open(name).unwrap();
    command
        .env_remove("TERM")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .envs(environment.iter().copied());
    command.stdout(std::process::Stdio::null()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    // Reading ends once nobody holds the other side, with an error.
    drop(command);
    let (mut ours, mut written) = (File::from(ours), Vec::new());
    let _ = ours.read_to_end(&mut written);
    (child.wait().unwrap(), String::from_utf8_lossy(&written).into_owned())
}

fn digits(place: &Path) {
    small_digits(&place.join("data/train"), &[8, 8]);
    small_digits(&place.join("data/val"), &[4, 4]);
}

fn training(place: &Path, args: &[&str]) -> Command {
    train(place, &[&["--data_dir", "data", "--set", "data.on_leak=ignore", "--dry_run"], args].concat())
}

/// Each program, at something that it has to say to the terminal.
fn commands(place: &Path) -> Vec<Command> {
    let program = |path: &str, args: &[&str]| {
        let mut command = start(path);
        command.current_dir(place).args(args);
        command
    };
    vec![
        training(place, &[]),
        program(env!("CARGO_BIN_EXE_ml-split"), &["check", "data", "--no_report"]),
        program(env!("CARGO_BIN_EXE_ml-split"), &["data/train", "--check", "--dry_run"]),
        program(env!("CARGO_BIN_EXE_ml-inference"), &["--checkpoint", "missing"]),
        program(env!("CARGO_BIN_EXE_ml-inference"), &["--wrong"]),
        program(env!("CARGO_BIN_EXE_ml-search"), &["missing.yaml"]),
        program(env!("CARGO_BIN_EXE_ml-search"), &["--wrong"]),
        program(env!("CARGO_BIN_EXE_ml-visualise"), &["missing"]),
        program(env!("CARGO_BIN_EXE_ml-visualise"), &["--wrong"]),
    ]
}

#[test]
fn a_terminal_that_takes_no_escape_sequences_gets_none_from_any_program() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path());
    for environment in PLAIN {
        for command in commands(place.path()) {
            let shown = format!("{environment:?} {command:?}");
            let (_, text) = on_terminal(command, environment);
            assert!(!text.contains('\x1b'), "{shown}: {text:?}");
            // Nor does a carriage return go back to the start of a line; one that ends it is the terminal's.
            assert!(!text.replace("\r\n", "\n").contains('\r'), "{shown}: {text:?}");
        }
    }
}

#[test]
fn colours_and_bars_are_for_other_terminals_and_for_who_requests_them() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path());
    let green = "\x1b[32mINFO";
    let (status, text) = on_terminal(training(place.path(), &[]), &[("TERM", "xterm")]);
    assert!(status.success() && text.contains(green), "{text:?}");
    for environment in PLAIN {
        let (status, text) = on_terminal(training(place.path(), &["--color", "always"]), environment);
        assert!(status.success() && text.contains(green), "{environment:?}: {text:?}");
    }
    let never = ["--color", "never"];
    let (status, text) = on_terminal(training(place.path(), &never), &[("TERM", "xterm")]);
    assert!(status.success() && !text.contains('\x1b'), "{text:?}");
    // A bar draws its line anew.
    let mut check = start(env!("CARGO_BIN_EXE_ml-split"));
    check.current_dir(place.path()).args(["check", "data", "--no_report"]);
    assert!(on_terminal(check, &[("TERM", "xterm")]).1.contains('\x1b'));
}

/// An `ml-train --ui tui` whose terminal this is.
struct OnScreen {
    child: Child,
    theirs: File,
    /// The terminal's modes before.
    before: Termios,
    written: JoinHandle<Vec<u8>>,
}

impl OnScreen {
    fn start(place: &Path, args: &[&str]) -> OnScreen {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&theirs, size).unwrap();
        let before = rustix::termios::tcgetattr(&theirs).unwrap();
        let inner = train(place, args);
        // In a session of its own, of which this is the terminal.
        let mut command = start("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(place).env("TERM", "xterm-256color");
        command.stdin(theirs.try_clone().unwrap()).stderr(theirs.try_clone().unwrap());
        command.stdout(std::process::Stdio::null());
        let child = command.spawn().unwrap();
        let mut reader = File::from(ours);
        let written = std::thread::spawn(move || {
            let mut written = Vec::new();
            let _ = reader.read_to_end(&mut written);
            written
        });
        OnScreen { child, theirs, before, written }
    }

    /// Waits for a file of the run.
    fn wait_for(&mut self, file: &Path) {
        let waiting = Instant::now();
        while !file.exists() {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended without {}", file.display());
            assert!(waiting.elapsed() < Duration::from_mins(2), "there is no {}", file.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end: how it was, what was on the screen, and what was printed after it. The
    /// terminal is as it was before.
    fn end(self) -> (ExitStatus, String, String) {
        let OnScreen { mut child, theirs, before, written } = self;
        let status = child.wait().unwrap();
        let after = rustix::termios::tcgetattr(&theirs).unwrap();
        assert_eq!(before.local_modes, after.local_modes, "echo and line editing are back");
        assert_eq!(before.input_modes, after.input_modes);
        drop(theirs);
        let text = String::from_utf8_lossy(&written.join().unwrap()).into_owned();
        let (shown, left) = text.split_once("\x1b[?1049l").unwrap_or_else(|| panic!("{text}"));
        assert!(shown.contains("\x1b[?1049h") && !left.contains("\x1b[?1049h"), "{text}");
        (status, shown.to_owned(), left.to_owned())
    }
}

const DASHBOARD: [&str; 6] = ["--data_dir", "data", "--set", "data.on_leak=ignore", "--ui", "tui"];

#[test]
fn a_dashboard_fills_the_terminal_and_leaves_it_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path());
    let (status, shown, left) = OnScreen::start(place.path(), &DASHBOARD).end();
    assert!(status.success() && shown.contains("accuracy"), "{shown}");
    assert!(left.contains("best validation accuracy"), "the log follows: {left}");

    // Elsewhere there is no room for one.
    let output = train(place.path(), &DASHBOARD).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("--ui tui") && told.contains("terminal"), "{told}");
}

#[test]
fn a_signal_ends_the_dashboard_and_leaves_the_terminal_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path());
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let name = format!("run{signal}");
        let args = [&DASHBOARD[..], &["--num_epochs", "100000", "--run_name", &name]].concat();
        let mut screen = OnScreen::start(place.path(), &args);
        screen.wait_for(&place.path().join("runs").join(&name).join("last.pt"));
        screen.signal(signal);
        let (status, _, left) = screen.end();
        assert_eq!(status.code(), Some(code), "{left}");
        assert!(left.contains("interrupted; the state is saved"), "{left}");
    }
}

#[test]
fn a_second_sigint_ends_the_dashboard_at_once_and_leaves_the_terminal_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path());
    // A step of several seconds: the first signal would end the run after it.
    let slow = [
        "--architecture",
        "resnet50",
        "--batch_size",
        "16",
        "--threads",
        "1",
        "--precision",
        "fp32",
        "--set",
        "training.channels_last=false",
        "--set",
        "transforms.train={resize: [224, 224], random_crop: null}",
        "--run_name",
        "slow",
    ];
    let mut screen = OnScreen::start(place.path(), &[&DASHBOARD[..], &slow[..]].concat());
    screen.wait_for(&place.path().join("runs/slow/summary.yaml"));
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..2 {
        screen.signal("-INT");
        std::thread::sleep(Duration::from_millis(300));
    }
    let (status, _, left) = screen.end();
    assert_eq!(status.code(), Some(130), "{left}");
    assert!(!left.contains("the state is saved"), "the step is not waited for: {left}");
}
