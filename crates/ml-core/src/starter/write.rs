//! [`Survey`] and [`Choices`] → YAML in which every choice says why, with the numbers that it was
//! made from.

use ml_data::dataset::Task;
use ml_data::transform::{Channels, Depth, Normalize};
use ml_data::yaml::quoted;

use super::choose::{Choices, Geometry, Optimizer, UNEVEN};
use super::survey::{Spread, Survey};
use super::{Normalization, Reason};
use crate::network::Architecture;

/// Columns of a comment.
const WIDTH: usize = 110;
/// Stands for a space at which no line is broken.
const TOGETHER: char = '\u{a0}';
/// Classes that are listed.
const LISTED: usize = 20;

pub(super) fn text(survey: &Survey, choices: &Choices, normalization: &Normalization) -> Written {
    let mut page = Page::default();
    head(&mut page, survey, choices);
    page.line(0, "\nseed: 42");
    data(&mut page, survey, choices);
    model(&mut page, survey, choices);
    loss(&mut page, survey, choices);
    optimization(&mut page, survey, choices);
    if !choices.plan.as_ref().is_some_and(|plan| plan.leaves_transforms) {
        transforms(&mut page, survey, choices, normalization);
    }
    Written { text: page.text, reasons: page.reasons }
}

/// A configuration and the reasons in its comments.
pub(super) struct Written {
    pub text: String,
    pub reasons: Vec<Reason>,
}

/// The text so far.
#[derive(Default)]
struct Page {
    text: String,
    reasons: Vec<Reason>,
    /// What was said since the last key.
    said: String,
    /// The keys around the last line.
    path: Vec<String>,
}

impl Page {
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        let text = text.as_ref();
        // A blank line stands before sections.
        let (blank, text) = text.strip_prefix('\n').map_or(("", text), |text| ("\n", text));
        self.text.push_str(&format!("{blank}{}{text}\n", "  ".repeat(depth)));
        let (key, value) = text.split_once(':').unwrap_or((text, ""));
        self.path.truncate(depth);
        self.path.push(key.to_owned());
        let why = std::mem::take(&mut self.said);
        // What stands above the first key is of the whole.
        if !why.is_empty() && self.path.len() > 1 {
            let value = value.split("  #").next().unwrap_or_default().trim().to_owned();
            self.reasons.push(Reason { path: self.path.join("."), value, why });
        }
    }

    /// A comment, broken into lines between words.
    fn comment(&mut self, depth: usize, text: impl AsRef<str>) {
        let words = printable(text.as_ref()).replace(TOGETHER, " ");
        let space = if self.said.is_empty() { "" } else { " " };
        self.said.push_str(&format!("{space}{}", words.trim()));
        let indent = "  ".repeat(depth);
        let mut line = format!("{indent}#");
        let mut has_words = false;
        for word in printable(text.as_ref()).split(' ').filter(|word| !word.is_empty()) {
            if has_words && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.text.push_str(&line);
                self.text.push('\n');
                line = format!("{indent}#");
            }
            line.push(' ');
            line.push_str(&word.replace(TOGETHER, " "));
            has_words = true;
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }
}

/// Names come from users: nothing in one may end a comment or be unfit for YAML.
fn printable(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().flat_map(|c| if is_odd(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}

fn head(page: &mut Page, survey: &Survey, choices: &Choices) {
    let [train, val, test] = survey.images;
    let maker = if choices.plan.is_some() { "--preset" } else { "--init_config" };
    page.comment(
        0,
        format!("A configuration to start with, made by `ml-train {maker}` from what the images show."),
    );
    page.comment(
        0,
        "Every key that is not here has its default, see `ml-train --print_config --config FILE`.",
    );
    page.comment(0, "");
    page.comment(
        0,
        format!("{} classes; images: train {train}, val {val}, test {test}.", survey.classes.len()),
    );
    page.comment(
        0,
        match survey.task {
            Task::SingleLabel => "Class (train/val/test):",
            Task::MultiLabel => "An image may have several labels. Label (images with it in train/val/test):",
        },
    );
    let counted = |class: usize| {
        let [train, val, test] = survey.counts.each_ref().map(|counts| counts[class]);
        format!("{}{TOGETHER}({train}/{val}/{test})", survey.classes[class])
    };
    let shown = survey.classes.len().min(LISTED);
    let mut listed: Vec<String> = (0..shown).map(counted).collect();
    if survey.classes.len() > shown {
        listed.push(format!("and {} more", survey.classes.len() - shown));
    }
    page.comment(0, listed.join(", "));
    page.comment(0, sizes(survey));
    let lacking: Vec<&str> = survey
        .classes
        .iter()
        .zip(&survey.counts[1])
        .filter_map(|(class, count)| (*count == 0).then_some(class.as_str()))
        .take(LISTED)
        .collect();
    if !lacking.is_empty() {
        page.comment(
            0,
            format!("Classes without a validation image, so not evaluated: {}.", lacking.join(", ")),
        );
    }
    if test == 0 {
        page.comment(
            0,
            "There is no test split: the validation metrics of the best epoch are slightly optimistic.",
        );
    }
}

fn sizes(survey: &Survey) -> String {
    let colour = match survey.deep {
        Some((channels, bits)) => format!("channels: {}, bits: {}", channels.count(), bits.bits()),
        None if survey.is_grey => "grey".to_owned(),
        None => "colour".to_owned(),
    };
    let looked = survey.looked_at - survey.unreadable;
    if survey.is_uniform() {
        let (height, width) = (survey.height.median, survey.width.median);
        return format!(
            "{looked} training images were sampled: all {height}x{width} (height x width), {colour}."
        );
    }
    let span = |Spread { min, median, max }: Spread| format!("{min} to {max}, median {median}");
    format!(
        "{looked} training images were sampled: height {}; width {}; {colour}.",
        span(survey.height),
        span(survey.width)
    )
}

fn data(page: &mut Page, survey: &Survey, choices: &Choices) {
    page.line(0, "\ndata:");
    page.line(1, format!("data_dir: {}", quoted(&survey.data_dir)));
    if let Some(fold) = survey.fold {
        page.line(1, format!("fold: {fold}"));
    }
    if survey.task == Task::MultiLabel {
        page.comment(1, "Each class is a question of its own, and probabilities are sigmoids.");
        page.line(1, "task: multi_label");
    }
    if let Some(gb) = choices.cache {
        let needed = if gb < 0.001 { "less than 0.001".to_owned() } else { format!("about {gb:.3}") };
        page.comment(1, format!("Decoded, all images together take {needed} GB of memory."));
        page.line(1, "cache: ram");
    }
    if let Some(first) = &survey.first_unreadable {
        page.comment(
            1,
            format!(
                "{} of {} sampled images cannot be read, the first: {first}. They are left out, with a warning; \
                 `ml-split check` finds all of them.",
                survey.unreadable, survey.looked_at
            ),
        );
        page.line(1, "on_error: skip");
    }
    if choices.drop_last {
        page.comment(
            1,
            format!(
                "{} images in batches of {} leave a last batch of one image, which batch norm cannot be trained with.",
                survey.train(),
                choices.batch_size
            ),
        );
        page.line(1, "drop_last: true");
    }
}

fn model(page: &mut Page, survey: &Survey, choices: &Choices) {
    let train = survey.train();
    page.line(0, "\nmodel:");
    if let Some(plan) = &choices.plan {
        page.comment(1, &plan.why);
        page.line(1, format!("architecture: {}", choices.architecture.name()));
        page.comment(1, &plan.weights_why);
        match &plan.weights {
            Some(weights) => page.line(1, format!("weights: {}", quoted(weights))),
            None => page.line(1, "weights: null"),
        }
        return;
    }
    match (choices.architecture, choices.geometry) {
        (Architecture::TinyNet, _) => page.comment(
            1,
            format!(
                "24 thousand parameters: enough for images this small, and few enough for {train} of them. simple_cnn \
                 and resnet18 are the next larger."
            ),
        ),
        (Architecture::SimpleCnn, _) => page.comment(
            1,
            format!(
                "290 thousand parameters, which {train} small images can train. resnet18 is larger, but halves \
                 images this small too early."
            ),
        ),
        (_, Geometry::Small { .. }) => {
            page.comment(1, format!("{train} images are enough to train 11 million parameters."));
        }
        (_, Geometry::Photograph { .. }) => {
            page.comment(1, "11 million parameters: the usual first network for photographs.");
            if train < 50_000 && survey.deep.is_none() {
                page.comment(
                    1,
                    format!(
                        "{train} images are few for it. Weights from ImageNet help most: `weights: DEFAULT` fetches \
                         torchvision's; leave `transforms` out then, or give `normalize` ImageNet's numbers (below) and \
                         `channels: 3`."
                    ),
                );
            }
            if !choices.cuda {
                page.comment(
                    1,
                    "No CUDA device is used here: expect hours. For a quick look take simple_cnn and 64 instead of the \
                     sizes below.",
                );
            }
        }
    }
    page.line(1, format!("architecture: {}", choices.architecture.name()));
}

/// Of images with several labels.
fn loss_of_labels(page: &mut Page, choices: &Choices) {
    page.line(0, "\nloss:");
    page.line(1, "name: bce");
    if choices.class_weights {
        page.comment(
            1,
            "Labels are uneven. `balanced` weighs images with a label by how many are without it: rare labels are \
             predicted more often, also where they are wrong.",
        );
        page.line(1, "pos_weight: 1.0");
    }
}

fn loss(page: &mut Page, survey: &Survey, choices: &Choices) {
    if survey.task == Task::MultiLabel {
        return loss_of_labels(page, choices);
    }
    let smoothing = choices.label_smoothing;
    if smoothing > 0.0 {
        page.line(0, "\nloss:");
        page.line(1, "name: cross_entropy");
        page.comment(
            1,
            "Keeps a network of millions of parameters from being too sure of its training images.",
        );
        page.line(1, format!("label_smoothing: {smoothing}"));
    }
    if survey.imbalance() < UNEVEN {
        return;
    }
    let train = || survey.counts[0].iter().zip(&survey.classes);
    let (Some((most, largest)), Some((least, smallest))) =
        (train().max_by_key(|(count, _)| **count), train().min_by_key(|(count, _)| **count))
    else {
        return;
    };
    if smoothing == 0.0 {
        page.line(0, "\nloss:");
    }
    let uneven = format!(
        "The classes are uneven: {largest} has {most} training images, {smallest} {least} ({:.1} times as many).",
        survey.imbalance()
    );
    if choices.class_weights {
        page.comment(
            1,
            format!(
                "{uneven} Rare classes get larger weights in the loss; accuracy over all images may drop: `none` turns this \
                 off. Alternatively, data.sampling: {{name: balanced}} draws rare classes more often."
            ),
        );
        page.line(1, "class_weights: balanced");
    } else {
        page.comment(
            1,
            format!(
                "{uneven} If the rare ones are predicted badly (report/ has the metrics of each class), try `balanced` here, \
                 or data.sampling: {{name: balanced}}."
            ),
        );
        page.line(1, "class_weights: none");
    }
}

fn optimization(page: &mut Page, survey: &Survey, choices: &Choices) {
    let Choices { optimizer, batch_size, num_epochs, warmup_epochs, cuda, .. } = choices;
    page.line(0, "\noptimizer:");
    match optimizer {
        Optimizer::AdamW { lr, weight_decay } => {
            let is_pretrained = choices.plan.as_ref().is_some_and(|plan| plan.is_pretrained);
            page.comment(
                1,
                if is_pretrained {
                    "Pretrained weights change little: AdamW with a small learning rate keeps what they know."
                } else {
                    "Small networks train fastest with AdamW at this learning rate; halve it if the loss jumps."
                },
            );
            page.line(1, "name: adamw");
            page.line(1, format!("lr: {lr}"));
            page.line(1, format!("weight_decay: {weight_decay}"));
        }
        Optimizer::Sgd { lr, weight_decay } => {
            if choices.architecture == Architecture::Resnet9 {
                page.comment(1, "0.4 per 512 images of a batch, as its author trains it on CIFAR-10.");
            } else {
                page.comment(
                    1,
                    "The usual 0.1 per 256 images of a batch, for residual networks trained from random weights.",
                );
                page.comment(1, "With pretrained weights take a tenth.");
            }
            page.line(1, "name: sgd");
            page.line(1, format!("lr: {lr}"));
            page.line(1, "momentum: 0.9");
            page.line(1, "nesterov: true");
            page.line(1, format!("weight_decay: {weight_decay}"));
        }
    }
    page.line(0, "\nscheduler:");
    page.comment(1, "Falls smoothly to zero at the last epoch, so num_epochs is all there is to set.");
    page.line(1, "name: cosine");
    page.line(1, "interval: step");
    if *warmup_epochs > 0 {
        page.line(1, format!("warmup_epochs: {warmup_epochs}"));
    }
    page.line(0, "\ntraining:");
    let (train, device) = (survey.train(), if *cuda { "a CUDA device" } else { "the CPU" });
    let steps = if choices.drop_last { train / batch_size } else { train.div_ceil(*batch_size) };
    page.comment(1, format!("For {device}; {steps} steps an epoch."));
    page.line(1, format!("batch_size: {batch_size}"));
    let Some(plan) = &choices.plan else {
        page.comment(
            1,
            format!(
                "{num_epochs} epochs of {train} images are {} images. A tenth is enough for a first try.",
                train * num_epochs
            ),
        );
        page.line(1, format!("num_epochs: {num_epochs}"));
        return;
    };
    page.comment(1, plan.length());
    page.line(1, format!("num_epochs: {num_epochs}"));
    match plan.ema(steps * num_epochs) {
        Some(decay) => {
            page.comment(
                1,
                "An average of the weights is often a little better, and steadier, in long trainings.",
            );
            page.line(1, format!("ema: {{decay: {decay}, warmup_steps: {}}}", steps.min(1000)));
        }
        None => {
            page.comment(
                1,
                "No average of the weights: the learning rate ends at zero, which does the same, and each epoch \
                 would be validated twice.",
            );
            page.line(1, "ema: null");
        }
    }
}

fn transforms(page: &mut Page, survey: &Survey, choices: &Choices, normalization: &Normalization) {
    page.line(0, "\ntransforms:");
    if let Some((channels, bits)) = survey.deep {
        page.comment(
            1,
            format!(
                "All sampled images have {} channels (without alpha) of up to {} bits. They are kept as they are; all \
                 other images must be such, too.",
                channels.count(),
                bits.bits()
            ),
        );
    } else if choices.channels == Channels::One {
        page.comment(
            1,
            format!(
                "None of {} images decoded has colour: one channel, luma. 3 for pretrained weights.",
                survey.decoded
            ),
        );
    }
    match normalization {
        Normalization::Computed(_, images) => page.comment(
            1,
            format!(
                "normalize: computed from {images} training images. `auto` follows them when they change."
            ),
        ),
        Normalization::Later => page.comment(
            1,
            "normalize: not computed for this file, which would take long; `auto` does when training starts, once.",
        ),
        Normalization::Weights(_) => page.comment(1, "normalize: what the weights were trained with."),
        Normalization::Constant => page.comment(
            1,
            "normalize: a channel of all images has one and the same value, so the numbers are ImageNet's.",
        ),
    }
    page.line(1, "train:");
    match choices.geometry {
        Geometry::Small { size, padding, enlarged } => {
            let pair = format!("[{}, {}]", size.height, size.width);
            page.comment(2, small(survey, enlarged, padding));
            page.line(2, format!("resize: {pair}"));
            page.line(2, format!("random_crop: {{size: {pair}, padding: {padding}}}"));
        }
        Geometry::Photograph { side, .. } => {
            page.comment(
                2,
                format!(
                    "Shorter sides are {} to {}, median {}. A random part of the area (scale); [0.3, 1.0] where what \
                     matters is small or at the edge.",
                    survey.shorter.min, survey.shorter.max, survey.shorter.median
                ),
            );
            let least = choices.plan.as_ref().map_or(0.08, |plan| plan.least_area(survey.train()));
            page.line(2, format!("random_resized_crop: {{size: {side}, scale: [{least}, 1.0]}}"));
        }
    }
    if choices.flip {
        page.comment(2, "`false` if mirroring changes the meaning, as with text or left and right.");
    } else {
        page.comment(
            2,
            "Classes or images look like signs, which mirroring turns into others; `true` if it does not.",
        );
    }
    page.line(2, format!("random_horizontal_flip: {}", choices.flip));
    ending(page, choices, normalization);
    page.comment(1, "Also for the test split, and what ml-inference does to new images.");
    page.line(1, "val:");
    match choices.geometry {
        Geometry::Small { size, .. } => page.line(2, format!("resize: [{}, {}]", size.height, size.width)),
        Geometry::Photograph { side, resize } => {
            if let Some(warning) = survey.crop_loss.warning() {
                page.comment(
                    2,
                    format!(
                        "WARNING: {warning}: consider `fit: pad` under `transforms`, which shows them whole, with \
                         `resize:{TOGETHER}[{side},{TOGETHER}{side}]` in place of random_resized_crop."
                    ),
                );
            }
            page.line(2, format!("resize: {resize}  # the shorter side"));
            page.line(2, format!("center_crop: {side}"));
        }
    }
    ending(page, choices, normalization);
}

fn small(survey: &Survey, enlarged: bool, padding: u32) -> String {
    let size = match (enlarged, survey.is_uniform()) {
        (true, _) => "So small that they are enlarged, since networks halve them several times",
        (false, true) => "Their own size",
        (false, false) => "The median of the longer sides",
    };
    format!("{size}; moved by up to {padding} pixels at random.")
}

/// Channels and normalisation, alike for all splits.
fn ending(page: &mut Page, choices: &Choices, normalization: &Normalization) {
    if choices.channels != Channels::Three {
        page.line(2, format!("channels: {}", choices.channels.count()));
    }
    if choices.bits == Depth::Sixteen {
        page.line(2, "bits: 16");
    }
    let count = choices.channels.count();
    let numbers = match normalization {
        Normalization::Later => None,
        Normalization::Computed(numbers, _) | Normalization::Weights(numbers) => Some(numbers.clone()),
        Normalization::Constant if choices.channels != Channels::Three => {
            Some(Normalize { mean: vec![0.45; count], std: vec![0.23; count] })
        }
        Normalization::Constant => Some(Normalize::imagenet()),
    };
    let text = numbers.map_or_else(
        || "auto".to_owned(),
        |Normalize { mean, std }| format!("{{mean: {mean:?}, std: {std:?}}}"),
    );
    page.line(2, format!("normalize: {text}"));
}
