//! Random configurations of runs, of settings that go together. The tests of `ml-core` compile this
//! file too, and have its configuration check what is drawn.

use std::fmt;

use super::random::SplitMix;

/// How a run trains, beside what benches/chaos.yaml says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    pub processes: usize,
    /// Images have several labels.
    pub several_labels: bool,
    /// `key=value`, but for the teacher.
    sets: Vec<String>,
    /// What `training.distillation` says beside the teacher's file.
    distillation: Option<&'static str>,
}

/// Precision, memory format and number of processes, in turn.
const WAYS: [(&str, bool, usize); 5] =
    [("fp32", false, 1), ("bf16", true, 1), ("fp32", false, 2), ("fp32", true, 1), ("bf16", false, 1)];

/// In turn as well; their number has no divisor in common with that of the ways.
const OPTIMIZERS: [&str; 11] = [
    "{name: adamw, lr: 0.004, weight_decay: 0.01}",
    "{name: muon, lr: 0.01, adamw_lr: 0.004}",
    "{name: nadam, lr: 0.004, weight_decay: 0.01, decoupled_weight_decay: true}",
    "{name: lamb, lr: 0.01}",
    "{name: adan, lr: 0.004, weight_decay: 0.02}",
    "{name: ademamix, lr: 0.002, alpha_warmup: 100, beta3_warmup: 100}",
    "{name: rmsprop_tf, lr: 0.002, momentum: 0.9, eps: 0.001}",
    "{name: lion, lr: 0.0005, weight_decay: 0.1}",
    "{name: sgd, lr: 0.02, momentum: 0.9, nesterov: true}",
    "{name: adam, lr: 0.004, amsgrad: true}",
    "{name: rmsprop, lr: 0.002, momentum: 0.9, centered: true}",
];

/// In place of the file's.
const SCHEDULERS: [&str; 9] = [
    // Its state is in the checkpoint; with this threshold it drops within five epochs.
    "{name: plateau, patience: 0, threshold: 0.1, interval: epoch}",
    // Changes from one schedule to the next within the run.
    "{name: sequence, schedules: [{schedule: {name: linear, total_iters: 1, interval: step}, epochs: 1}, \
     {schedule: {name: cosine_restarts, t_0: 1, t_mult: 2, interval: step}, epochs: 2}, \
     {schedule: {name: wsd, decay_epochs: 1, interval: step}}]}",
    "{name: one_cycle, pct_start: 0.4}",
    "{name: wsd, decay_fraction: 0.4, interval: step}",
    "{name: multistep, milestones: [2, 4], interval: epoch}",
    "{name: polynomial, power: 2, interval: step}",
    "{name: exponential, gamma: 0.8, interval: step}",
    "{name: cosine_restarts, t_0: 2, cycle_decay: 0.5, interval: step}",
    "{name: constant}",
];

/// In place of the file's, of one label an image.
const LOSSES: [&str; 4] = [
    "{name: cross_entropy, label_smoothing: 0.0, class_weights: none, logit_adjustment: 0.5}",
    "{name: focal, gamma: 1.5}",
    "{name: bce, label_smoothing: 0.1}",
    "{name: asymmetric, gamma_neg: 2.0, label_smoothing: 0.1}",
];

/// Of several labels an image.
const LABEL_LOSSES: [&str; 3] = [
    "{name: bce, label_smoothing: 0.0}",
    "{name: bce, label_smoothing: 0.0, pos_weight: balanced}",
    "{name: asymmetric, label_smoothing: 0.0}",
];

/// Beside the teacher.
const DISTILLATIONS: [&str; 2] = ["temperature: 2.0, weight: 0.6", "weight: 0.5, hard: true"];

const JENSEN_SHANNON: [&str; 2] = ["{}", "{alpha: 8.0, splits: 2}"];

const PROGRESSIVE_RESIZING: [&str; 2] = [
    "{sizes: [{from_epoch: 0, size: 8}, {from_epoch: 1, size: 10}, {from_epoch: 3, size: 12}]}",
    "{initial_scale: 0.7, delay_fraction: 0.2, finetune_fraction: 0.2, size_increment: 2}",
];

const BATCH_SCHEDULES: [&str; 2] = [
    "{batch_sizes: [{from_epoch: 2, batch_size: 24}], scale_lr: sqrt}",
    "{batch_sizes: [{from_epoch: 1, batch_size: 32}, {from_epoch: 3, batch_size: 64}]}",
];

const SWA: [&str; 3] = [
    "{start: 0.4}",
    "{start_epoch: 1, every_epochs: 2}",
    "{start_epoch: 2, lr: 0.002, anneal_epochs: 2, anneal_strategy: linear}",
];

/// In place of a limit of the gradient's norm.
const CLIPPING: [&str; 2] = ["max_grad_value=0.5", "agc={clip_factor: 0.02}"];

impl Draw {
    /// Configuration `number` of `seed`.
    pub fn of(seed: u64, number: u64) -> Draw {
        let random = &mut SplitMix::of(seed, number);
        let (precision, channels_last, processes) = WAYS[number as usize % WAYS.len()];
        let optimizer = OPTIMIZERS[number as usize % OPTIMIZERS.len()];
        let mut draw =
            Draw { processes, several_labels: random.happens(0.25), sets: Vec::new(), distillation: None };
        draw.set("training.precision", precision);
        draw.set("training.channels_last", &channels_last.to_string());
        draw.set("optimizer", optimizer);
        draw.maybe(0.7, "scheduler", &SCHEDULERS, random);
        draw.draw_loss(random);
        if random.happens(0.3) {
            draw.set("training.max_grad_norm", "null");
            draw.sets.push(format!("training.{}", random.one_of(&CLIPPING)));
        }
        // Of one process, and of steps of one batch.
        if processes == 1 && random.happens(0.35) {
            draw.set("training.sam", random.one_of(&["{rho: 0.05}", "{rho: 0.5, adaptive: true}"]));
            draw.set("training.gradient_accumulation_steps", "1");
            draw.set("training.batch_size", "48");
        }
        draw.maybe(0.3, "training.gradient_checkpointing", &["true"], random);
        // Can be cut in several places, and takes several views of an image in little time.
        let for_small = ["training.gradient_checkpointing=", "training.jensen_shannon="];
        if draw.sets.iter().any(|set| for_small.iter().any(|key| set.starts_with(key))) {
            draw.set("model.architecture", "tiny_net");
        }
        draw.maybe(0.35, "training.progressive_resizing", &PROGRESSIVE_RESIZING, random);
        draw.maybe(0.35, "training.batch_schedule", &BATCH_SCHEDULES, random);
        draw.maybe(0.4, "training.swa", &SWA, random);
        draw.maybe(0.3, "training.ema", &["null", "{decay: 0.9}"], random);
        draw
    }

    /// The task, its loss, and what else the loss is made of.
    fn draw_loss(&mut self, random: &mut SplitMix) {
        if self.several_labels {
            self.set("data.task", "multi_label");
            self.set("loss", random.one_of(&LABEL_LOSSES));
            // The last batch may have one image; digits that look the same are in several splits.
            self.set("data.drop_last", "true");
            self.set("data.on_leak", "ignore");
            return;
        }
        // It takes views of an image, cross entropy, and no teacher.
        if random.happens(0.3) {
            self.set("transforms.train.augmix", "true");
            return self.set("training.jensen_shannon", random.one_of(&JENSEN_SHANNON));
        }
        self.maybe(0.6, "loss", &LOSSES, random);
        self.distillation = random.happens(0.4).then(|| random.one_of(&DISTILLATIONS));
    }

    fn set(&mut self, key: &str, value: &str) {
        self.sets.push(format!("{key}={value}"));
    }

    /// Sets one of `values`, with this probability.
    fn maybe(&mut self, probability: f64, key: &str, values: &[&'static str], random: &mut SplitMix) {
        if random.happens(probability) {
            self.set(key, random.one_of(values));
        }
    }

    /// Whether it needs a teacher.
    pub fn has_teacher(&self) -> bool {
        self.distillation.is_some()
    }

    /// What `--set` is given; `teacher` is the teacher's file.
    pub fn sets(&self, teacher: &str) -> Vec<String> {
        let teacher = teacher.replace('\'', "''");
        let distillation = |rest: &str| format!("training.distillation={{teacher: '{teacher}', {rest}}}");
        self.sets.iter().cloned().chain(self.distillation.map(distillation)).collect()
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processes: {}, {}", self.processes, self.sets("TEACHER").join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of some seeds.
    fn draws() -> impl Iterator<Item = Draw> {
        (0..8).flat_map(|seed| (0..55).map(move |number| Draw::of(seed, number)))
    }

    #[test]
    fn a_draw_depends_on_the_seed_and_its_number_alone() {
        assert_eq!(Draw::of(3, 7), Draw::of(3, 7));
        assert!((0..20).any(|number| Draw::of(1, number) != Draw::of(2, number)));
    }

    #[test]
    fn each_setting_is_drawn_and_each_left_out() {
        let lists: [(&str, &[&str]); 8] = [
            ("optimizer", &OPTIMIZERS),
            ("scheduler", &SCHEDULERS),
            ("loss", &LOSSES),
            ("loss", &LABEL_LOSSES),
            ("training.jensen_shannon", &JENSEN_SHANNON),
            ("training.progressive_resizing", &PROGRESSIVE_RESIZING),
            ("training.batch_schedule", &BATCH_SCHEDULES),
            ("training.swa", &SWA),
        ];
        for (key, values) in lists {
            for value in values {
                let set = format!("{key}={value}");
                assert!(draws().any(|draw| draw.sets.contains(&set)), "{set}");
            }
        }
        for key in ["sam", "gradient_checkpointing", "jensen_shannon", "swa", "ema", "distillation"] {
            let start = format!("training.{key}=");
            let given = draws().filter(|draw| draw.sets("t.pt").iter().any(|set| set.starts_with(&start)));
            let count = given.count();
            assert!((40..400).contains(&count), "{key}: {count} of 440");
        }
    }

    #[test]
    fn nothing_is_drawn_that_several_processes_or_labels_do_not_take() {
        for draw in draws() {
            let has = |start: &str| draw.sets("t.pt").iter().any(|set| set.starts_with(start));
            assert!(!has("training.sam=") || draw.processes == 1, "{draw}");
            if has("training.jensen_shannon=") {
                assert!(!(draw.several_labels || draw.has_teacher() || has("loss=")), "{draw}");
            }
            assert!(!(draw.several_labels && draw.has_teacher()), "{draw}");
            assert_eq!(has("data.task=multi_label"), draw.several_labels, "{draw}");
        }
    }
}
