//! What is out of range or contradictory in a configuration whose types are right.

use ml_data::setting::Auto;
use ml_data::transform::Size;
use ml_data::violations::Violations;

use super::{BaseModel, Config, DataConfig, ModelConfig, TorchScriptModel, TrainingConfig, TransformsConfig};
use crate::device::PrecisionChoice;
use crate::loader::{CacheKind, SamplingConfig};
use crate::loss::{DistillationConfig, LossConfig};
use crate::network::{Architecture, Freeze};
use crate::optimizer::{AgcConfig, EmaConfig, SamConfig, SwaConfig};
use crate::policy::{BatchScheduleConfig, EarlyStoppingConfig, Metric, ProgressiveResizingConfig, TimeLimit};

/// More decoding threads than that are a slip of the fingers.
const MAX_WORKERS: usize = 1024;

/// So are more threads that compute.
const MAX_THREADS: usize = 1024;

impl Config {
    /// By YAML path. The sizes of images are checked once nothing else is wrong.
    pub(super) fn violations(&self) -> Violations {
        let mut v = Violations::default();
        v.section("loss", self.loss.problems());
        v.section("optimizer", self.optimizer.problems());
        v.section("scheduler", self.scheduler.problems());
        v.section("transforms.train", self.transforms.train.problems());
        v.section("transforms.val", self.transforms.val.problems());
        v.section("transforms.test", self.transforms.test.problems());
        v.section("transforms", self.transforms.violations());
        v.section("training", self.training.violations());
        v.section("model", self.model.violations());
        self.check_loss(&mut v);
        self.check_task(&mut v);
        self.check_jensen_shannon(&mut v);
        let is_script = self.model.script().is_some();
        v.check("training.swa", !is_script || self.training.swa.is_none(), || {
            "is not for a TorchScript module, whose batch norms cannot be computed anew; set it to null"
                .to_owned()
        });
        self.check_feature_cache(&mut v);
        self.check_gradient_checkpointing(&mut v);
        let is_cached = self.training.feature_cache.is_explicit();
        v.check("training.feature_cache", !is_cached || self.training.distillation.is_none(), || {
            "keeps features in place of images, which the teacher of training.distillation takes; set it to \
             auto or off"
                .to_owned()
        });
        self.check_features_of_teacher(&mut v);
        self.check_progressive(&mut v);
        check_channels(&self.model, self.transforms.train.channels.count(), &mut v);
        v.section("data", self.data.violations());
        let is_kept = self.data.cache == CacheKind::None || !self.transforms.train.is_deep();
        v.check("data.cache", is_kept, || {
            "keeps RGB images of 8 bits, and transforms.train has other channels or bits; set it to none"
                .to_owned()
        });
        check_integers(&serde_json::to_value(self).unwrap_or_default(), "", &mut v);
        if v.is_empty() {
            self.check_sizes(&mut v);
        }
        v
    }

    /// What a loss is set to do and the batches do not let it.
    fn check_loss(&self, v: &mut Violations) {
        match &self.loss {
            LossConfig::CrossEntropy(loss) => {
                let is_shuffled = matches!(self.data.sampling, SamplingConfig::Shuffle(_));
                v.check("loss.logit_adjustment", loss.logit_adjustment == 0.0 || is_shuffled, || {
                    "is for batches with the class shares of the training split, which data.sampling \
                     changes; set data.sampling.name to shuffle, or 0 here"
                        .to_owned()
                });
            }
            LossConfig::Focal(_) | LossConfig::Bce(_) | LossConfig::Asymmetric(_) => {}
        }
    }

    /// Features that were asked for though they change, or cannot be had.
    fn check_feature_cache(&self, v: &mut Violations) {
        let (cache, key) = (&self.training.feature_cache, "training.feature_cache");
        if !cache.is_explicit() {
            return;
        }
        let Some(base) = self.model.base() else {
            return v.add(key, "a TorchScript module cannot be run in parts; set it to auto or off");
        };
        if base.freeze == Freeze::None || base.unfreeze_epoch == Some(0) {
            v.add(
                key,
                "no layer is frozen, so features change with every step; set model.freeze, or auto here",
            );
        }
        let train = &self.transforms.train;
        let random = train.random_keys().join(", ");
        if train.mixes() {
            v.add(
                key,
                "mixup and cutmix make new images of each batch, whose features cannot be kept; remove them from \
                 transforms.train, or set auto here",
            );
        } else if cache.views.is_none() && !random.is_empty() {
            v.add(
                key,
                format!(
                    "transforms.train is random ({random}), so features are other ones in every epoch; set {{views: 8}} to \
                     use so many views of each image in turn, or auto here"
                ),
            );
        }
    }

    /// Embeddings that the student has, and that something trained is in front of.
    fn check_features_of_teacher(&self, v: &mut Violations) {
        let key = "training.distillation.features";
        if !self.training.distillation.as_ref().is_some_and(|one| one.features > 0.0) {
            return;
        }
        let Some(base) = self.model.base() else {
            return v.add(key, "a TorchScript module has no embeddings; set it to 0");
        };
        if base.freeze == Freeze::Backbone && base.unfreeze_epoch.is_none() {
            v.add(
                key,
                "trains nothing: of model.freeze: backbone only the head is trained, which is behind the \
                 embeddings; set it to 0",
            );
        }
    }

    /// Networks that cannot be run in segments, and processes that would wait for each other.
    fn check_gradient_checkpointing(&self, v: &mut Violations) {
        let key = "training.gradient_checkpointing";
        let distributed = &self.training.distributed;
        if !self.training.gradient_checkpointing {
            return;
        }
        match self.model.base().map(|base| base.architecture) {
            None => v.add(key, "a TorchScript module cannot be run in parts; set it to false"),
            Some(architecture) => v.check(key, !architecture.has_auxiliary_heads(), || {
                format!("is not for {}, which has auxiliary heads; set it to false", architecture.name())
            }),
        }
        for (setting, is_on) in [
            ("sync_batch_norm", distributed.sync_batch_norm),
            ("find_unused_parameters", distributed.find_unused_parameters),
        ] {
            v.check(key, !is_on, || {
                format!("cannot be together with training.distributed.{setting}; set one of them to false")
            });
        }
    }

    /// What changes from epoch to epoch, and what cannot go with it.
    fn check_progressive(&self, v: &mut Violations) {
        let training = &self.training;
        let keys = [
            ("training.progressive_resizing", training.progressive_resizing.is_some()),
            ("training.batch_schedule", training.batch_schedule.is_some()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, is_given)| *is_given) {
            v.check(key, training.max_time.is_none(), || {
                "cannot go with training.max_time, whose number of steps is estimated from steps that take as \
                 long as each other; set training.num_epochs or training.max_steps"
                    .to_owned()
            });
            v.check(key, !training.feature_cache.is_explicit(), || {
                "cannot go with training.feature_cache, which keeps features of images of one size in batches \
                 of one size; set that to auto or off"
                    .to_owned()
            });
        }
        let is_ramp = training.progressive_resizing.as_ref().is_some_and(ProgressiveResizingConfig::is_ramp);
        v.check("training.progressive_resizing", !is_ramp || training.max_steps.is_none(), || {
            "grows over the epochs, whose number training.max_steps leaves open; give sizes, or set \
             training.num_epochs alone"
                .to_owned()
        });
    }

    /// Sizes of smaller training images that the network or the transforms do not take.
    fn check_small_sizes(&self, architecture: Option<Architecture>, v: &mut Violations) {
        let Some(resizing) = &self.training.progressive_resizing else { return };
        let (key, train) = ("training.progressive_resizing", &self.transforms.train);
        let Some(full) = train.output_size() else { return };
        if let Some(fixed) = architecture.filter(|architecture| architecture.has_fixed_size()) {
            let name = fixed.name();
            return v.add(key, format!("is for networks that take images of any size; {name} takes one"));
        }
        for (index, part) in resizing.sizes.iter().flatten().enumerate() {
            let most = full.height.min(full.width);
            v.check(&format!("{key}.sizes[{index}].size"), part.size <= most, || {
                format!("must be at most that of transforms.train, {most}, got {}", part.size)
            });
        }
        for size in self.training.image_sizes(train) {
            let Size { height, width } = size;
            if let Some(problem) = architecture.and_then(|one| one.size_problem((height, width))) {
                return v.add(key, format!("gives images of {height}x{width} (height x width); {problem}"));
            }
            let problems = train.resized_to_output(size).problems();
            if let Some((inner, message)) = problems.into_iter().next() {
                let message = format!("of images of {height}x{width}, transforms.train.{inner} {message}");
                return v.add(key, message);
            }
        }
    }

    /// Images of sizes that the network does not take; what a TorchScript module needs shows when
    /// it runs.
    fn check_sizes(&self, v: &mut Violations) {
        let architecture = self.model.base().map(|base| base.architecture);
        self.check_small_sizes(architecture, v);
        let Some(architecture) = architecture else { return };
        let TransformsConfig { train, val, test, fit: _ } = &self.transforms;
        let train_size = train.output_size();
        let differs = |size: Size| {
            let train = train_size.filter(|&train| train != size && architecture.has_fixed_size())?;
            let (name, Size { height, width }) = (architecture.name(), train);
            Some(format!("{name} takes one size, and transforms.train gives {height}x{width}"))
        };
        for (split, transform) in [("train", train), ("val", val), ("test", test)] {
            let Some(size @ Size { height, width }) = transform.output_size() else { continue };
            if let Some(problem) = architecture.size_problem((height, width)).or_else(|| differs(size)) {
                let message = format!("gives images of {height}x{width} (height x width); {problem}");
                v.add(&format!("transforms.{split}"), message);
            }
        }
    }
}

/// Whole numbers that a checkpoint cannot hold: Python's files have signed ones.
fn check_integers(tree: &serde_json::Value, path: &str, v: &mut Violations) {
    match tree {
        serde_json::Value::Number(number) => {
            let holds = number.as_u64().is_none_or(|number| i64::try_from(number).is_ok());
            v.check(path, holds, || format!("must be at most {}, got {number}", i64::MAX));
        }
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                check_integers(value, &below, v);
            }
        }
        _ => {}
    }
}

/// Channels that the network and the images do not have in common.
fn check_channels(model: &ModelConfig, given: usize, v: &mut Violations) {
    if let Some(Auto::Value(own)) = model.base().map(|base| base.in_channels) {
        v.check("model.in_channels", own == given, || {
            format!(
                "must be `auto` or {given}, which transforms.train.channels makes of the images; got {own}"
            )
        });
    }
}

impl TrainingConfig {
    fn violations(&self) -> Violations {
        let mut v = Violations::default();
        for (key, value) in [
            ("batch_size", self.batch_size),
            ("num_epochs", self.num_epochs),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ] {
            v.check(key, value > 0, || "must be at least 1, got 0".to_owned());
        }
        v.check("max_steps", self.max_steps != Some(0), || "must be null or at least 1, got 0".to_owned());
        let seconds = self.max_time.map(TimeLimit::seconds);
        v.check("max_time", seconds.is_none_or(|seconds| seconds.is_finite() && seconds > 0.0), || {
            format!("must be null or positive, got {}", seconds.unwrap_or_default())
        });
        let threads = self.threads.given();
        v.check("threads", threads.is_none_or(|threads| (1..=MAX_THREADS).contains(&threads)), || {
            format!("must be `auto` or from 1 to {MAX_THREADS}, got {}", threads.unwrap_or_default())
        });
        let norm = self.max_grad_norm;
        v.check("max_grad_norm", norm.is_none_or(|norm| norm.is_finite() && norm > 0.0), || {
            format!("must be null or positive, got {}", norm.unwrap_or_default())
        });
        let value = self.max_grad_value;
        v.check("max_grad_value", value.is_none_or(|value| value.is_finite() && value > 0.0), || {
            format!("must be null or positive, got {}", value.unwrap_or_default())
        });
        let ways = [norm.is_some(), value.is_some(), self.agc.is_some()];
        if ways.into_iter().filter(|is_given| *is_given).count() > 1 {
            v.add("max_grad_norm", "set only one of max_grad_norm, max_grad_value and agc");
        }
        v.section("agc", self.agc.as_ref().map_or_else(Vec::new, AgcConfig::problems));
        self.check_sam(&mut v);
        let monitor = self.checkpoint.monitor;
        v.check("checkpoint.monitor", !monitor.is_of_ema() || self.ema.is_some(), || {
            format!("{} needs EMA weights; set training.ema", monitor.name())
        });
        v.section("checkpoint", self.checkpoint.problems());
        v.section("tensorboard", self.tensorboard.problems());
        let resizing = self.progressive_resizing.as_ref();
        v.section(
            "progressive_resizing",
            resizing.map_or_else(Vec::new, ProgressiveResizingConfig::problems),
        );
        let batches = self.batch_schedule.as_ref();
        v.section("batch_schedule", batches.map_or_else(Vec::new, BatchScheduleConfig::problems));
        v.section("distributed", self.distributed.problems());
        v.section("divergence", self.divergence.problems());
        v.section("feature_cache", self.feature_cache.problems());
        v.section("ema", self.ema.as_ref().map_or_else(Vec::new, EmaConfig::problems));
        let early_stopping = self.early_stopping.as_ref();
        let swa = self.swa.as_ref();
        v.section("swa", swa.map_or_else(Vec::new, |swa: &SwaConfig| swa.problems(self.num_epochs)));
        v.check("swa", swa.is_none() || (self.max_steps.is_none() && self.max_time.is_none()), || {
            "begins at a share of the epochs, whose number max_steps and max_time leave open; set num_epochs \
             alone, or null here"
                .to_owned()
        });
        v.check("checkpoint.monitor", swa.is_none() || monitor != Metric::TrainLoss, || {
            "train_loss is not known of the average that training.swa makes; choose a metric of the \
             validation split"
                .to_owned()
        });
        let distillation = self.distillation.as_ref();
        v.section("distillation", distillation.map_or_else(Vec::new, DistillationConfig::problems));
        v.section("early_stopping", early_stopping.map_or_else(Vec::new, EarlyStoppingConfig::problems));
        v
    }

    fn check_sam(&self, v: &mut Violations) {
        let Some(sam) = &self.sam else { return };
        v.section("sam", SamConfig::problems(sam));
        v.check("sam", self.precision != PrecisionChoice::Fp16, || {
            "is not for fp16, whose gradients are scaled; set training.precision to bf16 or fp32, or null \
             here"
                .to_owned()
        });
        v.check("sam", self.gradient_accumulation_steps <= 1, || {
            format!(
                "is not for accumulated gradients; set training.gradient_accumulation_steps to 1 (it is {}), or \
                 null here",
                self.gradient_accumulation_steps
            )
        });
    }
}

impl DataConfig {
    fn violations(&self) -> Violations {
        let mut v = Violations::default();
        if let Auto::Value(given) = self.num_workers {
            v.check("num_workers", given <= MAX_WORKERS, || {
                format!("must be `auto` or at most {MAX_WORKERS}, got {given}")
            });
        }
        v.check("val_fraction", self.val_fraction > 0.0 && self.val_fraction < 1.0, || {
            format!("must be above 0 and below 1, got {}", self.val_fraction)
        });
        let gb = self.cache_max_gb;
        v.check("cache_max_gb", gb.is_none_or(|gb| gb.is_finite() && gb >= 0.0), || {
            format!("must be null or from 0 up, got {}", gb.unwrap_or_default())
        });
        v.section("sampling", self.sampling.problems());
        v
    }
}

impl TransformsConfig {
    /// What the transforms of the splits must have in common.
    fn violations(&self) -> Violations {
        let mut v = Violations::default();
        for (split, transform) in [("val", &self.val), ("test", &self.test)] {
            for (key, given) in [("mixup", transform.mixup), ("cutmix", transform.cutmix)] {
                v.check(&format!("{split}.{key}"), given.is_none(), || {
                    format!("is for training only; write transforms.train.{key}")
                });
            }
            let (own, train) = (transform.channels.count(), self.train.channels.count());
            v.check(&format!("{split}.channels"), own == train, || {
                format!("must be that of transforms.train, {train}, got {own}")
            });
            let (own, train) = (transform.bits.bits(), self.train.bits.bits());
            v.check(&format!("{split}.bits"), own == train, || {
                format!("must be that of transforms.train, {train}, got {own}")
            });
        }
        v
    }
}

impl ModelConfig {
    fn violations(&self) -> Violations {
        let mut v = Violations::default();
        v.check("num_classes", self.num_classes() != Auto::Value(0), || {
            "must be `auto` or at least 1, got 0".to_owned()
        });
        match self {
            ModelConfig::Base(base) => base.check(&mut v),
            ModelConfig::TorchScript(script) => script.check(&mut v),
        }
        v
    }
}

impl BaseModel {
    fn check(&self, v: &mut Violations) {
        let name = self.architecture.name();
        for (key, value, is_there) in [
            ("dropout", self.dropout, self.architecture.has_dropout()),
            ("drop_path", self.drop_path, self.architecture.has_drop_path()),
        ] {
            let Some(value) = value else { continue };
            if is_there {
                v.check(key, (0.0..1.0).contains(&value), || {
                    format!("must be null or at least 0 and below 1, got {value}")
                });
            } else {
                v.add(key, format!("must be null: {name} has none"));
            }
        }
        let transforms_input = self.transform_input == Some(true);
        v.check("transform_input", !transforms_input || self.architecture.has_input_transform(), || {
            format!("must be null or false: {name} does not change its input")
        });
        if let Err(unknown) = self.choice() {
            v.add("weights", unknown.to_string());
        }
        v.check("unfreeze_epoch", self.unfreeze_epoch.is_none() || self.freeze != Freeze::None, || {
            "must be null: nothing is frozen (model.freeze is `none`)".to_owned()
        });
    }
}

impl TorchScriptModel {
    fn check(&self, v: &mut Violations) {
        v.check("path", !self.path.as_os_str().is_empty(), || {
            "is missing; name the file that torch.jit.script(net).save(path) wrote in Python".to_owned()
        });
        let is_hash = |text: &String| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        if let Some(given) = self.sha256.as_ref().filter(|given| !is_hash(given)) {
            v.add("sha256", format!("must be null or the 64 hexadecimal digits of a SHA-256, got `{given}`"));
        }
    }
}
