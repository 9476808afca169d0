//! The page around the sections: head, style sheet, contents; and elements that sections share.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::{self, name, plain};
use super::results::{Example, Thumbnail};
use super::value::Part;

const STYLE: &str = include_str!("style.css");
/// Nothing is fetched and no script runs, whatever the text of the page says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
/// Bytes of the largest JPEG file that is embedded.
pub const MAX_THUMBNAIL_BYTES: usize = 40 * 1024;
/// Images of a gallery outside its fold-out.
const AT_ONCE: usize = 12;
/// Characters of a command that are shown.
const COMMAND_LIMIT: usize = 8_000;

/// A section of the page.
pub(super) struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

impl Section {
    /// Of a part that is there, or that says why it is not.
    pub fn of<T>(
        id: &'static str,
        title: &'static str,
        part: &Part<T>,
        body: impl FnOnce(&T) -> Markup,
    ) -> Option<Section> {
        let body = match part {
            Part::Present(part) => body(part),
            Part::Missing(reason) => html! { p.missing { (plain(reason)) } },
            Part::Omitted => return None,
        };
        Some(Section { id, title, body })
    }
}

/// The whole file.
pub(super) fn page(
    title: &str,
    header: &Markup,
    sections: impl IntoIterator<Item = Option<Section>>,
    footer: &str,
) -> String {
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (plain(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the report" }
                div.layout {
                    header.top { (header) }
                    @if sections.len() > 1 { (contents(&sections)) }
                    main #content {
                        @for section in &sections {
                            section id=(section.id) aria-labelledby=(format!("{}-title", section.id)) {
                                h2 id=(format!("{}-title", section.id)) { (section.title) }
                                (section.body)
                            }
                        }
                    }
                    footer { (plain(footer)) }
                }
            }
        }
    }
    .into_string()
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul { @for section in sections { li { a href=(format!("#{}", section.id)) { (section.title) } } } }
        }
    }
}

/// A box that scrolls sideways where its content is wider than the page.
pub(super) fn scroll(label: &str, content: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (content) } }
}

/// A table of keys and values.
pub(super) fn key_values<'a>(rows: impl IntoIterator<Item = (&'a str, Markup)>) -> Markup {
    html! {
        table.keys {
            tbody { @for (key, value) in rows { tr { th scope="row" { (name(key)) } td { (value) } } } }
        }
    }
}

/// A command or other text to copy.
pub(super) fn command(text: &str) -> Markup {
    html! { pre tabindex="0" { code { (format::lines(text, COMMAND_LIMIT)) } } }
}

/// How many of `total` are not among the `shown`.
pub(super) fn left_out(total: u64, shown: usize, noun: &str) -> Markup {
    let rest = total.saturating_sub(shown as u64);
    html! {
        @if rest > 0 {
            p.note { (format::counted(rest, noun)) @if rest == 1 { " is" } @else { " are" } " not shown." }
        }
    }
}

/// An image, or a box that says why it is not shown.
pub(super) fn image(thumbnail: &Thumbnail) -> Markup {
    let size = thumbnail.jpeg.len();
    let alt = plain(&thumbnail.alt);
    if size == 0 || size > MAX_THUMBNAIL_BYTES {
        let reason = if size == 0 {
            "no image".into()
        } else {
            format!("{}, too large to embed", format::bytes(size as u64))
        };
        return html! { div.blank role="img" aria-label=(alt) { (reason) } };
    }
    html! { img src=(format!("data:image/jpeg;base64,{}", STANDARD.encode(&thumbnail.jpeg))) alt=(alt) decoding="async"; }
}

/// The caption of an image, a path as a rule.
pub(super) fn caption(thumbnail: &Thumbnail) -> Markup {
    html! {
        @if !thumbnail.caption.is_empty() {
            span.path title=(plain(&thumbnail.caption)) { (name(&thumbnail.caption)) }
        }
    }
}

/// The file's name only, where there is little room.
fn short_caption(thumbnail: &Thumbnail) -> Markup {
    let text = plain(&thumbnail.caption);
    let file = text.rsplit('/').next().unwrap_or_default();
    html! { @if !thumbnail.caption.is_empty() { span.path title=(text) { bdi { (file) } } } }
}

/// A name that takes at most a few lines, whole in its tooltip.
pub(super) fn clamped(text: &str) -> Markup {
    html! { span.clamp title=(plain(text)) { (name(text)) } }
}

/// Images with what is said of each: some at once, more in a fold-out, at most `limit`.
pub(super) fn gallery<T>(items: &[T], limit: usize, card: impl Fn(&T) -> Markup) -> Markup {
    let items = &items[..items.len().min(limit)];
    // A fold-out for an image or two is not worth it.
    let at_once = if items.len() <= AT_ONCE + 2 { items.len() } else { AT_ONCE };
    let (first, more) = items.split_at(at_once);
    let list = |items: &[T]| html! { ul.gallery { @for item in items { li { (card(item)) } } } };
    html! {
        @if !first.is_empty() { (list(first)) }
        @if !more.is_empty() {
            details { summary { (format::counted(more.len() as u64, "more image")) } (list(more)) }
        }
    }
}

/// Images with their predictions; `total` of which there are.
pub(super) fn examples(examples: &[Example], limit: usize, total: u64) -> Markup {
    html! {
        (gallery(examples, limit, |example| html! {
            (image(&example.image)) div { (verdict(example)) (caption(&example.image)) }
        }))
        (left_out(total, examples.len().min(limit), "image"))
    }
}

/// A row of small images of one class.
pub(super) fn strip(images: &[Thumbnail], limit: usize) -> Markup {
    html! {
        ul.gallery.small {
            @for example in images.iter().take(limit) { li { (image(example)) div { (short_caption(example)) } } }
        }
    }
}

/// Prediction, probability and true class.
pub(super) fn verdict(example: &Example) -> Markup {
    html! {
        span.line { "predicted " (clamped(&example.prediction)) " " span.number { (format::percent(example.probability)) } }
        @if example.prediction == example.label {
            span.line.muted { "right" }
        } @else {
            span.line { "label " (clamped(&example.label)) }
        }
    }
}

/// `path` as a link to a file near the page; none for absolute paths.
pub(super) fn relative_link(path: &str) -> Option<String> {
    let is_outside = path.is_empty() || path.starts_with(['/', '\\']) || path.chars().any(char::is_control);
    if is_outside {
        return None;
    }
    let mut link = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                link.push(char::from(byte));
            }
            // A colon too, so that no scheme is left.
            byte => link.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(link)
}

/// A name, as a link if there is an address.
pub(super) fn linked(text: &str, link: Option<&str>) -> Markup {
    match link.and_then(relative_link) {
        Some(address) => html! { a href=(address) { (name(text)) } },
        None => name(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_paths_whatever_they_contain() {
        assert_eq!(relative_link("../fold 1/report.html").as_deref(), Some("../fold%201/report.html"));
        assert_eq!(relative_link("javascript:alert(1)").as_deref(), Some("javascript%3Aalert%281%29"));
        assert_eq!([relative_link("//host/x"), relative_link("/etc"), relative_link("")], [None, None, None]);
    }

    #[test]
    fn an_image_that_is_missing_or_too_large_leaves_a_box() {
        let thumbnail =
            |bytes| Thumbnail { jpeg: vec![7; bytes], alt: "a \"rose\"".into(), caption: String::new() };
        let boxed = |bytes| image(&thumbnail(bytes)).into_string().contains("class=\"blank\"");
        assert_eq!(
            [boxed(0), boxed(1), boxed(MAX_THUMBNAIL_BYTES), boxed(MAX_THUMBNAIL_BYTES + 1)],
            [true, false, false, true]
        );
        assert!(image(&thumbnail(1)).into_string().contains("alt=\"a &quot;rose&quot;\""));
    }
}
