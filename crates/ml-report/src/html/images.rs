//! Sections of images: confused pairs, mistakes, label issues, Grad-CAM.

use maud::{Markup, html};

use super::format::{self, name};
use super::page::{caption, clamped, command, examples, gallery, image, left_out, strip, verdict};
use super::results::{Attention, ConfusedPair, Explanation, LabelIssues, Mistakes, OutOfDistribution};

/// Pairs of classes.
const PAIRS: usize = 12;
/// Images of a pair or of a class.
const PER_CLASS: usize = 4;
/// Images of each list of mistakes.
const MISTAKES: usize = 24;
/// Images unlike those of training.
const UNLIKE: usize = 12;
/// Classes with exemplars.
const CLASSES: usize = 25;
/// Images whose label is probably wrong.
const ISSUES: usize = 48;
/// Overlays of right predictions, and of wrong ones.
const OVERLAYS: usize = 8;

/// Pairs of classes with images.
pub(super) fn confused_pairs(pairs: &[ConfusedPair]) -> Markup {
    html! {
        @if pairs.is_empty() { p { "None: every image was predicted right." } }
        div.pairs { @for pair in pairs.iter().take(PAIRS) {
            div.pair {
                h3 { (clamped(&pair.true_class)) " predicted as " (clamped(&pair.predicted)) }
                p.note {
                    (format::count(pair.count)) " of " (format::counted(pair.support, "image"))
                    @if pair.support > 0 { " (" (format::percent(pair.count as f64 / pair.support as f64)) ")" }
                }
                (strip(&pair.examples, PER_CLASS))
            }
        } }
        (left_out(pairs.len() as u64, PAIRS, "pair"))
    }
}

/// Worst mistakes, uncertain images, exemplars.
pub(super) fn mistakes(mistakes: &Mistakes) -> Markup {
    let Mistakes { split, worst, uncertain, exemplars } = mistakes;
    html! {
        h3 { "Worst mistakes" }
        @if worst.is_empty() { p { "None: every image was predicted right." } } @else {
            p { "Wrong predictions on the " (name(split)) " split, most probable first." }
            (examples(worst, MISTAKES, worst.len() as u64))
        }
        @if !uncertain.is_empty() {
            h3 { "Least certain images" }
            p { "Images whose two most probable classes are closest." }
            (examples(uncertain, MISTAKES, uncertain.len() as u64))
        }
        @if !exemplars.is_empty() {
            h3 { "Typical images of each class" }
            p { "Images that the network is surest of, of the classes with the lowest F1." }
            details open[exemplars.len() <= 5] {
                summary { (format::counted(exemplars.len().min(CLASSES) as u64, "class")) }
                div.pairs { @for (class, images) in exemplars.iter().take(CLASSES) {
                    div.pair {
                        h4 { (clamped(class)) }
                        (strip(images, PER_CLASS))
                    }
                } }
                (left_out(exemplars.len() as u64, CLASSES, "class"))
            }
        }
    }
}

/// Images unlike those of training.
pub(super) fn out_of_distribution(of: &OutOfDistribution) -> Markup {
    html! {
        p {
            "A score compares an image with the training images of the class that it is most like, by the network's "
            "embeddings (Mahalanobis distance). Above 1, it is unlike anything seen in training. Of the "
            (name(&of.split)) " images, " strong { (format::percent(of.accepted)) } " score at most 1."
        }
        @if !of.examples.is_empty() {
            p { "The images that score highest: look whether they belong here." }
            (examples(&of.examples, UNLIKE, of.examples.len() as u64))
        }
    }
}

/// Images with the given and the suggested label, and what to do about them.
pub(super) fn label_issues(issues: &LabelIssues) -> Markup {
    html! {
        p {
            @if issues.total == 0 {
                "No label looks wrong among " (format::counted(issues.examined, "image")) "."
            } @else {
                (format::count(issues.total)) " of " (format::counted(issues.examined, "image")) " ("
                (format::percent(issues.total as f64 / issues.examined.max(1) as f64))
                ") have a label that a network trained without them finds improbable. Look at them: some will be right."
            }
        }
        (gallery(&issues.issues, ISSUES, |issue| html! {
            (image(&issue.image))
            div {
                span.line { "label " (clamped(&issue.given)) " " span.number { (format::percent(issue.self_confidence)) } }
                span.line { "suggested " (clamped(&issue.suggested)) }
                (caption(&issue.image))
            }
        }))
        (left_out(issues.total, issues.issues.len().min(ISSUES), "image"))
        @for (purpose, text) in issues.commands.iter().take(5) {
            h3 { (name(purpose)) }
            (command(text))
        }
    }
}

/// Images beside their heat maps.
pub(super) fn attention(attention: &Attention) -> Markup {
    html! {
        p {
            "Grad-CAM at layer " code { (name(&attention.layer)) }
            ": red areas raise the score of the predicted class most. Red on the background means that the network "
            "uses what surrounds the object."
        }
        (explanations("Predicted right", &attention.right))
        (explanations("Predicted wrong", &attention.wrong))
    }
}

fn explanations(title: &str, explanations: &[Explanation]) -> Markup {
    html! {
        @if !explanations.is_empty() {
            h3 { (title) }
            ul.gallery.wide {
                @for explanation in explanations.iter().take(OVERLAYS) {
                    li {
                        div.two { (image(&explanation.example.image)) (image(&explanation.overlay)) }
                        div { (verdict(&explanation.example)) (caption(&explanation.example.image)) }
                    }
                }
            }
            (left_out(explanations.len() as u64, OVERLAYS, "image"))
        }
    }
}
