//! A search for hyperparameters: trials with values of some keys of a configuration, each trained by
//! a process of its own.
//!
//! In: [`Settings`] (`search.yaml`) and what the trials reach. Out: the next trial ([`sampler`]),
//! which ones go on ([`pruner`]), and the [`State`] of the search, in one file that is replaced as a
//! whole after each change. It knows neither tensors nor the configuration that it varies; how a
//! trial is trained is the business of a [`Launcher`].

mod driver;
pub mod importance;
mod metric;
mod parzen;
pub mod pruner;
pub mod sampler;
mod settings;
mod space;
mod state;
mod tpe;
mod trial;

pub use driver::{DriveError, Driver, Ended, Launcher, Outcome, Process};
pub use metric::{Direction, METRICS, Metric, read_values};
pub use pruner::Pruner;
pub use sampler::SamplerKind;
pub use settings::{Budget, Settings, SettingsError, parse_duration};
pub use space::Domain;
pub use state::{State, StateError};
pub use trial::{Parameters, Status, Trial};
