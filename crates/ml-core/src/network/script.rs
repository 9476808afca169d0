//! A TorchScript file → a network: a program that was made in Python, with its parameters and
//! buffers.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use torch_ext::Script;

use super::entry::{Entry, Role};
use crate::torch_error::TorchError;

/// The bytes of a TorchScript file.
#[derive(Clone)]
pub struct ScriptFile {
    path: PathBuf,
    bytes: Vec<u8>,
    sha256: String,
}

impl fmt::Debug for ScriptFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptFile")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// A TorchScript file is missing, or is not what can be trained or used here.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// No file, or none with the right content.
    #[error("{}", not_found(.looked, .sha256.as_deref()))]
    NotFound {
        /// Where it was looked for, and why that is not it.
        looked: Vec<(PathBuf, String)>,
        /// The content that it must have.
        sha256: Option<String>,
    },
    /// Some other file, or one of a libtorch with other operators.
    #[error("{}: not a TorchScript file that can be used: {reason}", path.display())]
    NotAScript {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// Its dropout or batch norm does not know whether it trains.
    #[error(
        "{}: its `{operator}` cannot switch between training and evaluation: the module was traced or frozen. Script it \
         instead: torch.jit.script(net).save(path)", path.display()
    )]
    NoSwitch {
        /// The file.
        path: PathBuf,
        /// The operator's name.
        operator: String,
    },
    /// No parameter needs a gradient.
    #[error(
        "{}: has no parameter to train (none needs a gradient): a frozen module keeps its weights as constants. Script \
         the network as it was before torch.jit.freeze: torch.jit.script(net).save(path)", path.display()
    )]
    NothingToTrain {
        /// The file.
        path: PathBuf,
    },
    /// The program or an operator in it raised an error, or its output is not one tensor.
    #[error("{}: {what} fails on images {shape:?} ([N, C, H, W]): {message}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// `forward`, or its backward pass.
        what: &'static str,
        /// Of the images.
        shape: Vec<i64>,
        /// libtorch's or the program's own words.
        message: String,
    },
    /// The output is not logits `[N, K]`.
    #[error(
        "{}: forward gives {kind:?} {found:?} for images {shape:?} ([N, C, H, W]); it must give floating point logits \
         [N, classes]", path.display()
    )]
    Output {
        /// The file.
        path: PathBuf,
        /// Of the images.
        shape: Vec<i64>,
        /// Of the output.
        kind: Kind,
        /// The output's shape.
        found: Vec<i64>,
    },
    /// Logits of another number of classes.
    #[error(
        "{}: the model outputs {found} logits, but the data set has {expected} classes; build it with {expected} outputs (in \
         its last layer) and script it again", path.display()
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// Logits of an image.
        found: i64,
        /// Classes of the data set.
        expected: i64,
    },
    /// The logits do not depend on the parameters.
    #[error(
        "{}: in training, the output depends on no parameter that needs a gradient, so nothing can be learned; look \
         for torch.no_grad() and detach() in its forward", path.display()
    )]
    NoGradient {
        /// The file.
        path: PathBuf,
    },
    /// A part of the network alone was requested.
    #[error(
        "{}: a TorchScript module is one program, without a backbone and a head that can run alone; features, \
         embeddings and Grad-CAM need a network of this library (model.type: base)", path.display()
    )]
    NoParts {
        /// The file.
        path: PathBuf,
    },
    /// An error of libtorch.
    #[error("{}: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: torch_ext::Error,
    },
}

fn not_found(looked: &[(PathBuf, String)], sha256: Option<&str>) -> String {
    let looked: Vec<String> =
        looked.iter().map(|(path, reason)| format!("{} {reason}", path.display())).collect();
    let looked = looked.join("; ");
    match sha256 {
        None => format!("model.path: {looked}"),
        Some(hash) => format!(
            "model.path: the TorchScript file with SHA-256 {hash} is not there: {looked}. Put that very file back; a \
             changed program makes a new run"
        ),
    }
}

impl ScriptFile {
    /// Reads the first of `places` that is there and has the content that `sha256` names, if it
    /// names one.
    ///
    /// # Errors
    /// None is; or a file cannot be read.
    pub fn find(places: &[PathBuf], sha256: Option<&str>) -> Result<ScriptFile, ScriptError> {
        let mut looked: Vec<(PathBuf, String)> = Vec::new();
        for path in places {
            if looked.iter().any(|(known, _)| known == path) {
                continue;
            }
            let reason = match std::fs::read(path) {
                Ok(bytes) => {
                    let found = ScriptFile::new(path, bytes);
                    if sha256.is_none_or(|wanted| wanted.eq_ignore_ascii_case(&found.sha256)) {
                        return Ok(found);
                    }
                    format!("has another content (SHA-256 {})", found.sha256)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            };
            looked.push((path.clone(), reason));
        }
        Err(ScriptError::NotFound { looked, sha256: sha256.map(str::to_owned) })
    }

    /// A file that has been read.
    pub fn new(path: &Path, bytes: Vec<u8>) -> ScriptFile {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        ScriptFile { path: path.to_owned(), bytes, sha256 }
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of its content, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The module as a layer: `[N, C, H, W]` f32 → logits `[N, K]`, checked in every pass.
#[derive(Debug)]
pub(super) struct ScriptLayer {
    script: Script,
    path: PathBuf,
    /// Logits that it must give.
    num_classes: Option<i64>,
    /// Which mode it is in, once that is known.
    mode: Cell<Option<bool>>,
}

impl ScriptLayer {
    pub fn load(file: &ScriptFile, num_classes: Option<i64>) -> Result<ScriptLayer, ScriptError> {
        let script = Script::load(&file.bytes).map_err(|error| ScriptError::NotAScript {
            path: file.path.clone(),
            reason: explained(&error.to_string()),
        })?;
        Ok(ScriptLayer { script, path: file.path.clone(), num_classes, mode: Cell::new(None) })
    }

    pub fn copy(&self) -> Result<ScriptLayer, ScriptError> {
        let script = self.script.deep_copy().map_err(|source| self.torch(source))?;
        Ok(ScriptLayer {
            script,
            path: self.path.clone(),
            num_classes: self.num_classes,
            mode: Cell::new(None),
        })
    }

    /// Its parameters and buffers, in the order of Python's `state_dict()`, moved to `device`.
    pub fn entries(&self, device: Device) -> Vec<Entry> {
        let entry = |item: torch_ext::ScriptTensor| {
            let role = match (item.same_as, item.is_buffer) {
                (Some(_), _) => Role::Alias,
                (None, true) => Role::Buffer,
                (None, false) => Role::Parameter,
            };
            Entry { name: item.name, tensor: item.tensor, role, is_head: false, momentum: None }
        };
        let mut entries: Vec<Entry> = self.script.state().into_iter().map(entry).collect();
        super::move_to(&mut entries, device);
        entries
    }

    pub fn forward_t(&self, images: &Tensor, train: bool) -> Result<Tensor, ScriptError> {
        if self.mode.get() != Some(train) {
            self.script.train(train).map_err(|source| self.torch(source))?;
            self.mode.set(Some(train));
        }
        let shape = images.size();
        let logits = self.script.forward(images).map_err(|error| self.failed("forward", &shape, &error))?;
        match (logits.is_floating_point(), logits.size().as_slice()) {
            (true, &[count, classes]) if shape.first() == Some(&count) => {
                match self.num_classes.filter(|expected| *expected != classes) {
                    None => Ok(logits),
                    Some(expected) => {
                        Err(ScriptError::Classes { path: self.path.clone(), found: classes, expected })
                    }
                }
            }
            (_, found) => {
                let (path, found) = (self.path.clone(), found.to_vec());
                Err(ScriptError::Output { path, shape, kind: logits.kind(), found })
            }
        }
    }

    /// Whether it takes such images, on a copy, so that nothing of it changes.
    pub fn dry_run(&self, images: &Tensor) -> Result<(), ScriptError> {
        let copy = self.copy()?;
        tch::no_grad(|| copy.forward_t(images, false)).map(drop)
    }

    /// Whether it can be trained on such images, on a copy, so that nothing of it changes.
    pub fn dry_run_training(&self, images: &Tensor) -> Result<(), ScriptError> {
        let path = || self.path.clone();
        if let Some(operator) = self.script.without_switch().map_err(|source| self.torch(source))? {
            return Err(ScriptError::NoSwitch { path: path(), operator });
        }
        if !self.script.state().iter().any(|item| !item.is_buffer && item.tensor.requires_grad()) {
            return Err(ScriptError::NothingToTrain { path: path() });
        }
        let logits = self.copy()?.forward_t(images, true)?;
        if !logits.requires_grad() {
            return Err(ScriptError::NoGradient { path: path() });
        }
        logits.mean(Kind::Float).f_backward().map_err(|error| {
            let message = TorchError::said(&torch_ext::first_line(&error));
            let (what, shape) = ("the backward pass", images.size());
            ScriptError::Failed { path: path(), what, shape, message }
        })
    }

    /// The error of asking for a backbone or a head.
    pub fn has_no_parts(&self) -> ScriptError {
        ScriptError::NoParts { path: self.path.clone() }
    }

    fn failed(&self, what: &'static str, shape: &[i64], error: &torch_ext::Error) -> ScriptError {
        let message = TorchError::said(error.message());
        ScriptError::Failed { path: self.path.clone(), what, shape: shape.to_vec(), message }
    }

    fn torch(&self, source: torch_ext::Error) -> ScriptError {
        ScriptError::Torch { path: self.path.clone(), source }
    }
}

/// libtorch's message about a file that is not TorchScript, in words for the user.
fn explained(message: &str) -> String {
    const HOW: &str = "in Python, torch.jit.script(net).save(path) makes one";
    if message.contains("constants.pkl") {
        format!(
            "it holds no program; weights or a pickled network, as torch.save writes them, are not enough: {HOW}"
        )
    } else if message.contains("zip archive") || message.contains("file ends") {
        format!("it is another kind of file, or cut short: {HOW}")
    } else {
        message.to_owned()
    }
}

impl ScriptError {
    /// Whether the request is wrong, rather than that a run failed after it had begun.
    pub fn is_usage(&self) -> bool {
        !matches!(self, ScriptError::Torch { .. })
    }
}
