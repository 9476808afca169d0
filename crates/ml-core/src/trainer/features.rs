//! Which features are kept in a run: decided when an epoch with other frozen layers begins,
//! computed when an epoch first needs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ml_data::dataset::Split;
use ml_data::transform::TransformConfig;

use super::loaders::cache_dir;
use super::{Phase, Reporter, Stop, TrainError, Trainer, flow};
use crate::config::Config;
use crate::features::{
    Batches, FeatureCacheConfig, FeatureCacheMode, FeatureError, FeaturePlace, Features, Filled, Source,
    Store, fill,
};
use crate::loader::{Budget, CacheKind, Loader};
use crate::network::{ForwardError, Freeze, NoPrefix, Prefix};
use crate::optimizer::Ema;

/// The key that messages begin with.
const KEY: &str = "training.feature_cache";

/// What a run keeps.
pub(super) struct FeatureCache {
    config: FeatureCacheConfig,
    /// Of files.
    folder: PathBuf,
    /// Bytes that may be kept, where the configuration does not say, as a share of what is free.
    default_share: u64,
    /// None before the first epoch.
    plan: Option<Plan>,
}

/// What is kept while the same layers are frozen.
struct Plan {
    freeze: Freeze,
    train: Option<Planned>,
    val: Option<Planned>,
    /// Views of each training image.
    views: u64,
    store: Store,
}

/// Features of a split.
struct Planned {
    prefix: Prefix,
    /// By view.
    features: BTreeMap<u64, Rc<Features>>,
}

impl From<Prefix> for Planned {
    fn from(prefix: Prefix) -> Planned {
        Planned { prefix, features: BTreeMap::new() }
    }
}

impl FeatureCache {
    pub fn new(config: &Config, root: &Path) -> FeatureCache {
        FeatureCache {
            // A teacher takes images.
            config: match config.training.distillation {
                None => config.training.feature_cache.clone(),
                Some(_) => FeatureCacheMode::Off.into(),
            },
            folder: cache_dir(&config.data, root),
            // Decoded images take the other half of the half.
            default_share: if config.data.cache == CacheKind::Ram { 2 } else { 1 },
            plan: None,
        }
    }

    /// Lets go of everything: the weights are about to change.
    pub fn forget(&mut self) {
        self.plan = None;
    }

    /// Bytes that may be kept.
    fn limit(&self) -> Result<u64, TrainError> {
        if let Some(gb) = self.config.max_gb {
            return Ok((gb * 1e9) as u64);
        }
        Ok(match self.config.place {
            FeaturePlace::Ram => Budget::half_of_memory().left() / self.default_share,
            FeaturePlace::Disk => Budget::half_of_disk(&self.folder).map_err(FeatureError::from)?.left(),
        })
    }
}

impl Trainer {
    /// Whether what the configuration asks for can be.
    ///
    /// # Errors
    /// No part of the network can be computed once, or what it gives is too much.
    pub(super) fn check_feature_cache(&self) -> Result<(), TrainError> {
        match self.config.model.base() {
            Some(base) if self.features.config.is_explicit() => self.plan(&base.freeze).map(drop),
            _ => Ok(()),
        }
    }

    /// Computes the features that this epoch needs and that are not there yet; how long it waited
    /// for images, or none if told to stop.
    pub(super) fn prepare_features(
        &mut self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<Duration>, TrainError> {
        let Some(base) = self.config.model.base() else { return Ok(Some(Duration::ZERO)) };
        let freeze = base.freeze_after(self.state.epoch).clone();
        if self.features.plan.as_ref().is_none_or(|plan| plan.freeze != freeze) {
            // What was kept of other frozen layers goes first.
            if self.features.plan.take().is_some_and(|plan| plan.train.is_some() || plan.val.is_some()) {
                tracing::info!("{KEY}: other layers are frozen now: what was kept is let go");
            }
            let plan = self.plan(&freeze)?;
            self.describe(&plan);
            self.features.plan = Some(plan);
        }
        let Some(mut plan) = self.features.plan.take() else { return Ok(Some(Duration::ZERO)) };
        let mut waited = Some(Duration::ZERO);
        for split in [Split::Train, Split::Val] {
            if let Some(before) = waited {
                let more = self.complete(&mut plan, split, reporter, stop)?;
                waited = more.map(|more| before + more);
            }
        }
        self.features.plan = Some(plan);
        Ok(waited)
    }

    /// Training batches of this epoch from number `first` on.
    pub(super) fn train_batches(&self, first: usize) -> Result<Batches, TrainError> {
        let epoch = self.state.epoch;
        let plan = self.features.plan.as_ref();
        let features = plan.and_then(|plan| plan.train.as_ref()?.features.get(&(epoch % plan.views)));
        batches(&self.train_loader, features, epoch, first)
    }

    /// All batches of the validation split.
    pub(super) fn val_batches(&self) -> Result<Batches, TrainError> {
        let plan = self.features.plan.as_ref();
        let features = plan.and_then(|plan| plan.val.as_ref()?.features.get(&0));
        batches(&self.val_loader, features, 0, 0)
    }

    /// How many views of training images, and of validation images, are kept now.
    #[cfg(test)]
    pub(super) fn kept_features(&self) -> (usize, usize) {
        let count = |planned: &Option<Planned>| planned.as_ref().map_or(0, |planned| planned.features.len());
        self.features.plan.as_ref().map_or((0, 0), |plan| (count(&plan.train), count(&plan.val)))
    }

    /// What is to be kept while `freeze` holds.
    fn plan(&self, freeze: &Freeze) -> Result<Plan, TrainError> {
        let config = &self.features.config;
        let mut plan = Plan { freeze: freeze.clone(), train: None, val: None, views: 1, store: Store::Ram };
        if *freeze == Freeze::None || config.mode == FeatureCacheMode::Off || self.is_last_frozen_epoch() {
            return Ok(plan);
        }
        let is_random = !self.config.transforms.train.random_keys().is_empty();
        plan.views = config.views.filter(|_| is_random).unwrap_or(1);
        if config.views.is_some() && !is_random {
            tracing::info!(
                "{KEY}.views: training images are not augmented at random: all views are the same one"
            );
        }
        if self.config.training.progressive_resizing.is_some()
            || self.config.training.batch_schedule.is_some()
        {
            tracing::info!(
                "{KEY}: training images or batches change their size, so none of their features are kept"
            );
        } else if config.is_explicit() || !is_random {
            match self.prefix(&self.config.transforms.train, true)? {
                Ok(prefix) => plan.train = Some(prefix.into()),
                Err(reason) if config.is_explicit() => {
                    let reason = format!("{}: {reason}; set it to auto or off", self.config.model.name());
                    return Err(TrainError::FeatureCache { key: KEY, reason });
                }
                Err(reason) => tracing::info!("{KEY}: no features of training images are kept: {reason}"),
            }
        } else {
            tracing::info!(
                "{KEY}: training images are augmented at random, so features of validation images alone are kept"
            );
        }
        let is_same = |ema: &Ema| self.network.frozen_part_equals(ema.network());
        if self.ema.as_ref().is_none_or(is_same) {
            plan.val = self.prefix(&self.config.transforms.val, false)?.ok().map(Planned::from);
        } else {
            tracing::info!(
                "{KEY}: no features of validation images are kept: those of the EMA weights differ"
            );
        }
        // Where each has another limit, all decide alike.
        let limit = self.ranks.world().least(self.features.limit()?)?;
        if config.place == FeaturePlace::Disk {
            plan.store = Store::Disk { folder: self.features.folder.clone(), limit };
        }
        self.within(limit, plan)
    }

    /// `plan`, if it takes at most `limit` bytes; else nothing is kept.
    fn within(&self, limit: u64, plan: Plan) -> Result<Plan, TrainError> {
        let needed = self.bytes(&plan);
        if needed <= limit {
            return Ok(plan);
        }
        let (needed, limit) = (size(needed), size(limit));
        let setting = "training.feature_cache.max_gb";
        let given = self.features.config.max_gb.is_some();
        let limit = if given { format!("it is {limit}") } else { format!("half of what is free is {limit}") };
        if self.features.config.is_explicit() {
            let reason = format!(
                "the features of all images take {needed}, and {limit}; raise it, or set {KEY} to off"
            );
            return Err(TrainError::FeatureCache { key: setting, reason });
        }
        if plan.train.is_some() || plan.val.is_some() {
            tracing::warn!(
                "{setting}: the features of all images take {needed}, and {limit}: none are kept, and every epoch computes them again"
            );
        }
        Ok(Plan { train: None, val: None, ..plan })
    }

    fn bytes(&self, plan: &Plan) -> u64 {
        let of = |planned: &Option<Planned>, images: usize| {
            planned.as_ref().map_or(0, |planned| planned.prefix.bytes() as u64 * images as u64)
        };
        let views = plan.views.min(self.config.training.num_epochs as u64);
        let train = of(&plan.train, self.train_index.samples.len()).saturating_mul(views);
        train.saturating_add(of(&plan.val, self.val_loader.num_samples()))
    }

    /// Whether `auto` has nothing to gain, since no other epoch with these frozen layers follows.
    fn is_last_frozen_epoch(&self) -> bool {
        let unfreeze = self.config.model.base().and_then(|base| base.unfreeze_epoch);
        let end = unfreeze.unwrap_or(u64::MAX).min(self.config.training.num_epochs as u64);
        !self.features.config.is_explicit() && end.saturating_sub(self.state.epoch) <= 1
    }

    fn prefix(
        &self,
        transform: &TransformConfig,
        train: bool,
    ) -> Result<Result<Prefix, NoPrefix>, TrainError> {
        let Some(size) = transform.output_size() else { return Ok(Err(NoPrefix::Trained)) };
        let image = [transform.channels.count() as i64, i64::from(size.height), i64::from(size.width)];
        let found = self.network.frozen_prefix(image, train, &self.compute);
        Ok(found.map_err(ForwardError::from)?)
    }

    fn describe(&self, plan: &Plan) {
        let of = |planned: &Option<Planned>, what: &str| {
            let prefix = &planned.as_ref()?.prefix;
            let shape: Vec<String> = prefix.shape().iter().map(ToString::to_string).collect();
            Some(format!("{} features an image for {what}", shape.join(" x ")))
        };
        let kept: Vec<String> =
            [of(&plan.train, "training"), of(&plan.val, "validation")].into_iter().flatten().collect();
        if kept.is_empty() {
            return;
        }
        let place = match plan.store {
            Store::Ram => "in memory".to_owned(),
            Store::Disk { .. } => format!("in {}", self.features.folder.display()),
        };
        let (kept, size) = (kept.join(", "), size(self.bytes(plan)));
        tracing::info!("{KEY}: frozen layers are computed once, and kept {place} ({size}): {kept}");
        if plan.views > 1 {
            tracing::info!(
                "{KEY}: each training image has {} augmented views, shown in turn, instead of a new one in every epoch: \
                 this is another recipe than without the cache",
                plan.views
            );
        }
    }

    /// Has the features of a split computed that this epoch needs; how long it waited for images, or
    /// none if told to stop. Nothing of the split is planned any more where they cannot be kept.
    fn complete(
        &self,
        plan: &mut Plan,
        split: Split,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<Duration>, TrainError> {
        let (planned, loader, view) = match split {
            Split::Train => (&mut plan.train, &self.train_loader, self.state.epoch % plan.views),
            _ => (&mut plan.val, &self.val_loader, 0),
        };
        let Some(Planned { prefix, features }) = planned else { return Ok(Some(Duration::ZERO)) };
        if features.contains_key(&view) {
            return Ok(Some(Duration::ZERO));
        }
        // Validation batches are the same ones in every epoch; and where the user has asked for the
        // cache, a resumed run computes the same features again, which is all that is promised.
        let check = split == Split::Train && !self.features.config.is_explicit();
        let world = self.ranks.world();
        let loader = loader.sequential(world.share_of_steps(1));
        let (network, compute) = (&self.network, &self.compute);
        let source = Source { network, prefix, compute, loader: &loader, view, world };
        reporter.phase_started(Phase::Features, self.state.epoch, loader.num_batches(), 0);
        let mut reported = Ok(());
        let filled = fill(&source, &plan.store, check, || {
            reported = reporter.batches_done(1, None);
            flow(reported.is_err(), stop)
        });
        reported?;
        let (filled, waited) = filled?;
        match filled {
            Filled::Stopped => return Ok(None),
            Filled::Whole(filled) => {
                features.insert(view, Rc::new(filled));
            }
            Filled::Unsuitable(reason) => {
                tracing::info!("{KEY}: no features of {} images are kept: {reason}", split.name());
                *planned = None;
            }
        }
        reporter.phase_finished();
        Ok(Some(waited))
    }
}

/// The batches of `epoch` from number `first` on: of features, where they are kept.
fn batches(
    loader: &Loader,
    features: Option<&Rc<Features>>,
    epoch: u64,
    first: usize,
) -> Result<Batches, TrainError> {
    Ok(match features {
        None => loader.epoch(epoch, first).into(),
        Some(features) => Batches::Features {
            features: Rc::clone(features),
            composition: loader.composition(epoch, first)?,
        },
    })
}

/// For people, as they count: in powers of 1000.
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        0.0..1e6 => format!("{:.1} KB", bytes / 1e3),
        1e6..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}
