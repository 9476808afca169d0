//! All networks of the library with their sizes and costs.

use std::fmt;

use serde::Serialize;
use tch::Device;

use super::{InspectionError, images, layers};
use ml_core::network::{Architecture, Network};
use ml_core::weights::Published;
use ml_data::table::{Align, table};

/// A network of the library, with 1000 classes and colour images of its own size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// As `model.architecture` has it.
    pub name: &'static str,
    /// Elements of all parameters.
    pub parameters: u64,
    /// Billions of multiply-adds for one image.
    pub gflops: f64,
    /// Height and width of the images it was made for.
    pub size: u32,
    /// Published weights that `model.weights` may name, the default first.
    pub weights: Vec<&'static str>,
}

/// What is known of a network without building it, from the table of published weights.
fn known(architecture: Architecture) -> Option<Listed> {
    let name = architecture.name();
    let of_it = || Published::all().iter().filter(move |published| published.architecture == name);
    let default = of_it().find(|published| published.is_default)?;
    let others = of_it().filter(|published| !published.is_default);
    Some(Listed {
        name,
        parameters: default.parameters,
        gflops: default.gflops,
        size: default.crop,
        weights: std::iter::once(default).chain(others).map(|published| published.member).collect(),
    })
}

/// Every network, in the order of [`Architecture::ALL`].
///
/// # Errors
/// libtorch's.
pub fn architectures() -> Result<Vec<Listed>, InspectionError> {
    Architecture::ALL
        .iter()
        .map(|architecture| known(*architecture).map_or_else(|| built(*architecture), Ok))
        .collect()
}

/// Found out by building the network and sending an image through it.
pub(super) fn built(architecture: Architecture) -> Result<Listed, InspectionError> {
    let size = architecture.usual_size();
    let network = Network::new(architecture, 1000, 0, Device::Cpu);
    let (rows, _) = layers::of(&network, &images(1, [3, i64::from(size), i64::from(size)]))?;
    let multiply_adds: u64 = rows.iter().map(|row| row.multiply_adds).sum();
    Ok(Listed {
        name: architecture.name(),
        parameters: network.num_parameters() as u64,
        gflops: multiply_adds as f64 / 1e9,
        size,
        weights: Vec::new(),
    })
}

/// Lines with aligned columns.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [Listed]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["architecture", "parameters", "GFLOPs", "size", "weights"].map(str::to_owned);
        let rows = self.0.iter().map(|listed| {
            [
                listed.name.to_owned(),
                format!("{:.1} M", listed.parameters as f64 / 1e6),
                format!("{:.3}", listed.gflops),
                listed.size.to_string(),
                listed.weights.join(", "),
            ]
        });
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
        let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
        f.write_str(table(&rows, align).trim_end())
    }
}
