//! Compares networks with torchvision's: `reference --list` prints a line `name size` for each that
//! torchvision has; `reference NAME SIZE FILE` reads what `tests/reference/network.py NAME 10 SIZE`
//! printed and prints the differences as JSON. `cargo xtask reference` runs both for every name.

#[path = "../src/network/tests/compare.rs"]
mod compare;

use std::process::ExitCode;

use ml_core::network::{Architecture, Network, NetworkSpec};
use tch::Device;

/// Classes of the networks compared.
const CLASSES: i64 = 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["--list"] => {
            for architecture in Architecture::ALL.iter().filter(|known| known.is_torchvisions()) {
                println!("{} {}", architecture.name(), architecture.reference_size());
            }
            Ok(())
        }
        [name, size, file] => row(name, size, file),
        _ => Err("usage: reference --list | reference NAME SIZE FILE".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn row(name: &str, size: &str, file: &str) -> Result<(), String> {
    let architecture =
        Architecture::from_name(name).ok_or_else(|| format!("no network is called `{name}`"))?;
    let size: i64 = size.parse().map_err(|_| format!("`{size}` is no size"))?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let reference = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    let size = (size, size);
    let spec = NetworkSpec { image_size: Some(size), ..NetworkSpec::from(CLASSES) };
    let network = Network::new(architecture, spec, 7, Device::Cpu);
    let comparison = compare::compare(&network, size, &reference)?;
    println!("{}", serde_json::to_string(&comparison).map_err(|error| error.to_string())?);
    Ok(())
}
