//! Two machines, as far as one can have them: network namespaces with a cable between them, which can
//! be pulled. Making them takes rights that not every machine gives; without them, these tests say so
//! and do nothing.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{LIMIT, Process, Ranks, SOON, environment, summary};
use crate::resume::same;
use crate::support::{start, train};
use crate::train::digits;

/// The end of the cable in either machine.
const INTERFACE: &str = "ml0";
/// Of the first; the second has the next.
const ADDRESS: &str = "10.77.0.1";

struct Machines {
    /// Processes that do nothing, each in a namespace that ends with it.
    holders: [Child; 2],
}

impl Machines {
    /// None where that is not allowed, or a program for it is not there.
    fn new() -> Option<Machines> {
        let hold = || {
            let mut command = Command::new("unshare");
            command.args(["--net", "sleep", "600"]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let machines = Machines { holders: [hold()?, hold()?] };
        machines.connect().or_else(|| {
            eprintln!("no network namespaces can be made here: nothing is tested");
            None
        })?;
        Some(machines)
    }

    fn connect(&self) -> Option<()> {
        let own = std::fs::read_link("/proc/self/ns/net").ok()?;
        let waiting = Instant::now();
        for holder in &self.holders {
            while std::fs::read_link(format!("/proc/{}/ns/net", holder.id()))
                .is_ok_and(|theirs| theirs == own)
            {
                if waiting.elapsed() > SOON {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let second = self.holders[1].id().to_string();
        let cable = ["link", "add", INTERFACE, "type", "veth", "peer", "name", INTERFACE, "netns", &second];
        self.ip(0, &cable)?;
        for (machine, address) in [(0, ADDRESS), (1, "10.77.0.2")] {
            self.ip(machine, &["address", "add", &format!("{address}/24"), "dev", INTERFACE])?;
            self.ip(machine, &["link", "set", "lo", "up"])?;
            self.ip(machine, &["link", "set", INTERFACE, "up"])?;
        }
        Some(())
    }

    fn ip(&self, machine: usize, args: &[&str]) -> Option<()> {
        let mut command = self.enter(machine, "ip".as_ref());
        let status = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success()).then_some(())
    }

    fn enter(&self, machine: usize, program: &Path) -> Command {
        let mut command = start("nsenter");
        command.args(["--target", &self.holders[machine].id().to_string(), "--net"]).arg(program);
        command
    }

    /// A process of `command` on each machine.
    fn spawn(&self, command: impl Fn() -> Command) -> Ranks {
        let child = |rank: usize| {
            let inner = command();
            let mut command = self.enter(rank, inner.get_program().as_ref());
            command.args(inner.get_args()).current_dir(inner.get_current_dir().unwrap());
            command.envs(environment(2, rank, 29_500)).env("MASTER_ADDR", ADDRESS);
            command.envs([("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"), ("GLOO_SOCKET_IFNAME", INTERFACE)]);
            Process::start(command)
        };
        Ranks { children: (0..2).map(child).collect() }
    }

    /// Pulls the cable out, or puts it back.
    fn set_cable(&self, is_plugged: bool) {
        let state = if is_plugged { "up" } else { "down" };
        self.ip(1, &["link", "set", INTERFACE, state]).unwrap();
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

#[test]
fn a_cable_that_is_pulled_and_put_back_in_mid_epoch_changes_nothing() {
    let Some(machines) = Machines::new() else { return };
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let command = |name: &str| {
        let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "20", "--batch_size", "4"];
        train(place.path(), &[&args[..], &["--run_name", name]].concat())
    };
    let ended = machines.spawn(|| command("whole")).wait(LIMIT);
    assert!(ended.iter().all(|ended| ended.code == Some(0)), "{ended:?}");

    let mut ranks = machines.spawn(|| command("cut"));
    ranks.wait_for(&runs.join("cut/last.pt"));
    machines.set_cable(false);
    std::thread::sleep(Duration::from_secs(2));
    // None goes on, and none gives up.
    let rows = || std::fs::read_to_string(runs.join("cut/metrics.csv")).unwrap();
    let before = rows();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(before, rows());
    assert!(before.lines().count() < 21, "{before}");
    assert!(ranks.children.iter_mut().all(Process::is_running), "{:?}", ranks.ended());
    machines.set_cable(true);
    let ended = ranks.wait(LIMIT);
    assert!(ended.iter().all(|ended| ended.code == Some(0)), "{ended:?}");
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn a_cable_that_stays_pulled_ends_both_with_an_error() {
    let Some(machines) = Machines::new() else { return };
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let run = place.path().join("runs/cut");
    let timeout = ["--set", "training.distributed.timeout_seconds=4"];
    let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "2000", "--batch_size", "4"];
    let args = [&args[..], &timeout, &["--run_name", "cut"]].concat();
    let mut ranks = machines.spawn(|| train(place.path(), &args));
    ranks.wait_for(&run.join("last.pt"));
    machines.set_cable(false);
    for ended in ranks.wait(LIMIT) {
        ended.assert_refused(&[1], &["rank"]);
    }
    assert_eq!(summary(&run)["status"].as_str(), Some("failed"));
}
