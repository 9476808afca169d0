//! An [`Inspection`] as text.

use std::fmt;

use super::{Inspection, StepMemory};
use ml_data::table::{Align, table};
use ml_data::text::grouped;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [channels, height, width] = self.image;
        writeln!(
            f,
            "{}, images of {channels} x {height} x {width}, {} classes\n",
            self.network, self.num_classes
        )?;
        let mut rows =
            vec![["layer", "operator", "output", "parameters", "multiply-adds"].map(str::to_owned)];
        for row in &self.layers {
            let count = |count: u64| if count == 0 { String::new() } else { grouped(count) };
            rows.push([
                row.name.clone(),
                row.operator.clone(),
                format!("{:?}", row.output),
                count(row.parameters),
                count(row.multiply_adds),
            ]);
        }
        writeln!(f, "{}", table(&rows, [Align::Left, Align::Left, Align::Left, Align::Right, Align::Right]))?;
        let mut facts = vec![
            ["trainable parameters".to_owned(), grouped(self.trainable_parameters)],
            ["frozen parameters".to_owned(), grouped(self.frozen_parameters)],
        ];
        if self.unused_parameters > 0 {
            facts.push(["of these not used in evaluation".to_owned(), grouped(self.unused_parameters)]);
        }
        facts.push(["elements of buffers".to_owned(), grouped(self.buffers)]);
        let mut cost = grouped(self.multiply_adds);
        if self.multiply_adds >= 1_000_000 {
            cost += &format!(" ({:.3} GFLOPs as torchvision counts)", self.gflops());
        }
        facts.push(["multiply-adds of an image".to_owned(), cost]);
        writeln!(f, "{}", table(&facts, [Align::Left, Align::Left]))?;
        self.memory.fmt(f)
    }
}

impl Inspection {
    /// Multiply-adds of an image in 10⁹, which torchvision's tables call GFLOPs.
    pub fn gflops(&self) -> f64 {
        self.multiply_adds as f64 / 1e9
    }
}

impl fmt::Display for StepMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "memory of a training step with {} images, in float32:", self.batch_size)?;
        let mut rows = Vec::new();
        for (what, bytes) in [
            ("weights and buffers", self.weights),
            ("averages of weights (training.ema, training.swa)", self.averaged_weights),
            ("copy of the parameters (training.sam)", self.sam_weights),
            ("optimizer state", self.optimizer_state),
            ("images", self.images),
            ("gradients at the peak", self.gradients),
            ("activations at the peak", self.activations),
            ("together", self.total),
        ] {
            if bytes > 0 {
                rows.push(["  ".to_owned() + what, format!("{:.1} MB", bytes as f64 / 1e6)]);
            }
        }
        f.write_str(&table(&rows, [Align::Left, Align::Right]))?;
        let how = if self.is_rough {
            "Roughly: a straight line through the peaks of steps with 2 and 3 images"
        } else {
            "Computed from all memory that steps with 2 and 3 images took"
        };
        write!(f, "{how} on the CPU. Libraries' own workspaces, loaders and CUDA's reserve come on top.")
    }
}
