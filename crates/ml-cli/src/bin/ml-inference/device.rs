//! `--device` → where the network lives.

use ml_cli::exit::usage;
use ml_core::inference::Device;

pub fn resolve(name: &str) -> anyhow::Result<Device> {
    match name {
        "auto" | "cpu" => Ok(Device::Cpu),
        _ => usage(format!("--device {name}: cannot be used here; use auto or cpu")),
    }
}
