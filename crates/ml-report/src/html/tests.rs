//! Whole pages.

mod fake;

use super::*;
use fake::{comparison, folds, full, header, hostile};

fn hostile_pages() -> [String; 3] {
    let names = hostile();
    [render(&full(&names, 20, 9)), render_comparison(&comparison(&names)), render_folds(&folds(&names))]
}

/// Names and values of the attributes of `html`, in which `<` and `>` are only ends of tags.
fn attributes(html: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for tag in html.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let pieces: Vec<&str> = tag.split('"').collect();
        for pair in pieces.chunks_exact(2) {
            let name = pair[0].rsplit(char::is_whitespace).next().unwrap_or_default().trim_end_matches('=');
            found.push((name.to_owned(), pair[1].to_owned()));
        }
    }
    found
}

#[test]
fn text_from_outside_is_escaped() {
    for page in hostile_pages() {
        assert!(page.contains("&lt;script&gt;alert(1)"));
        assert!(!page.contains("<script") && !page.contains("<b>bold"));
        assert_eq!(
            [
                page.matches("</title>").count() - page.matches("<title>").count(),
                page.matches("</style>").count()
            ],
            [0, 1]
        );
        let known = attributes(&page);
        assert!(known.iter().all(|(name, _)| !name.starts_with("on")), "an event handler");
        assert!(!page.contains('\u{202e}') && !page.contains('\0'));
    }
}

#[test]
fn a_page_fetches_nothing() {
    for page in hostile_pages() {
        for (name, value) in attributes(&page) {
            match name.as_str() {
                "src" => assert!(value.starts_with("data:image/jpeg;base64,"), "{value}"),
                "href" => assert!(!value.contains(':') || value == "data:,", "{value}"),
                "style" => assert!(!value.contains("url("), "{value}"),
                _ => {}
            }
        }
        assert!(!page.contains("@import") && !page.contains("url("));
        assert!(page.contains("default-src 'none'"));
    }
}

#[test]
fn headings_are_in_order_and_images_and_headers_are_described() {
    for page in hostile_pages() {
        let levels: Vec<u32> = page
            .match_indices("<h")
            .filter_map(|(at, _)| page[at + 2..].chars().next().and_then(|c| c.to_digit(10)))
            .collect();
        assert_eq!(levels[0], 1);
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        let with = |tag: &str, attribute: &str| {
            page.split(tag)
                .skip(1)
                .filter(|rest| !rest.split('>').next().is_some_and(|tag| tag.contains(attribute)))
                .count()
        };
        assert_eq!(with("<img ", "alt=\""), 0);
        assert_eq!(with("<th>", "scope"), 0);
        assert_eq!(with("<th ", "scope=\""), 0);
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    }
}

#[test]
fn the_ids_of_a_page_are_unique_and_its_contents_lead_to_them() {
    for page in hostile_pages() {
        let all = attributes(&page);
        let mut ids: Vec<&str> = all.iter().filter(|of| of.0 == "id").map(|of| of.1.as_str()).collect();
        for (_, target) in all.iter().filter(|of| of.0 == "href" && of.1.starts_with('#')) {
            assert!(ids.contains(&&target[1..]), "{target}");
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}

#[test]
fn a_report_with_a_thousand_classes_and_large_images_is_below_20_megabytes() {
    let names: Vec<String> = (0..1000).map(|class| format!("{class} {}", "name ".repeat(20))).collect();
    // More images than any list shows, as large as they may be.
    let page = render(&full(&names, 60, MAX_THUMBNAIL_BYTES));
    assert!(page.len() < 20_000_000, "{}", page.len());
    // Of lists that are very long, it shows as much as of these.
    let page = render(&full(&names, 50_000, 9));
    assert!(page.len() < 5_000_000, "{}", page.len());
    assert!(page.contains("49,976 images are not shown."));
    assert!(page.contains("49,950 groups are not shown."));
}

#[test]
fn a_missing_part_is_left_out_or_says_why() {
    let mut report = full(&["a".to_owned(), "b".to_owned()], 2, 9);
    let complete = render(&report);
    let mut sections = 0;
    macro_rules! check {
        ($($($part:ident).+, $id:literal);*) => {$(
            sections += 1;
            let section = concat!("<section id=\"", $id, "\"");
            assert!(complete.contains(section), $id);
            report.$($part).+ = Part::Missing("There <is> none.".into());
            let page = render(&report);
            assert!(page.contains(section) && page.contains("There &lt;is&gt; none."), $id);
            report.$($part).+ = Part::Omitted;
            assert!(!render(&report).contains(section), $id);
        )*};
    }
    check!(
        setup, "setup"; curves, "curves"; metrics, "metrics"; findings.classes, "classes";
        findings.groups, "groups"; findings.confusion, "confusion"; findings.confused_pairs, "pairs";
        findings.mistakes, "mistakes"; findings.label_issues, "labels";
        findings.calibration, "calibration"; findings.selective, "selective";
        findings.out_of_distribution, "ood"; labels.curves, "precision-recall";
        labels.mistakes, "label-mistakes"; labels.calibration, "label-calibration"; attention, "attention"; timing, "time";
        environment, "environment"
    );
    assert_eq!(sections, complete.matches("<section ").count());
    assert!(!render(&report).contains("<section"));
}

#[test]
fn a_threshold_says_what_it_was_chosen_by_and_what_it_does_to_other_images() {
    let text =
        |report: &Report| render(report).replace('\u{a0}', " ").replace("<bdi>", "").replace("</bdi>", "");
    let mut report = full(&["val".to_owned(), "test".to_owned()], 2, 9);
    let page = text(&report);
    for part in ["chosen on the val split", "at most 4.0 % of the predictions", "that it was not chosen by"] {
        assert!(page.contains(part), "{part}");
    }
    let Part::Present(selective) = &mut report.findings.selective else { panic!("no curve") };
    selective.threshold = Part::Missing("No <threshold>.".to_owned());
    let page = text(&report);
    assert!(page.contains("No &lt;threshold&gt;.") && !page.contains("chosen on the"));
}

#[test]
fn images_without_probabilities_are_counted() {
    let mut report = full(&["val".to_owned()], 1, 9);
    assert!(render(&report).contains("contain NaN or Inf"));
    report.metrics = Part::Present(vec![SplitMetrics { not_finite: 0, ..fake::split("val") }]);
    assert!(!render(&report).contains("contain NaN or Inf"));
}

#[test]
fn the_page_of_folds_shows_what_their_predictions_say() {
    let page = render_folds(&folds(&hostile()));
    for id in ["confusion", "pairs", "mistakes", "labels", "calibration", "selective", "groups"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
}

#[test]
fn empty_parts_are_shown_without_numbers_that_are_none() {
    let mut report = Report::new(header("run"));
    report.setup = Part::Present(Setup::default());
    report.curves = Part::Present(Curves::default());
    report.metrics = Part::Present(vec![SplitMetrics::default()]);
    report.findings.classes = Part::Present(ClassTable::default());
    report.findings.confusion = Part::Present(Confusion::default());
    report.findings.confused_pairs = Part::Present(Vec::new());
    report.findings.mistakes = Part::Present(Mistakes::default());
    report.findings.label_issues = Part::Present(LabelIssues::default());
    report.findings.calibration = Part::Present(Calibration::default());
    report.findings.selective = Part::Present(Selective::default());
    report.labels.curves = Part::Present(PrecisionRecallCurves::default());
    report.labels.mistakes = Part::Present(LabelMistakes::default());
    report.labels.calibration = Part::Present(LabelCalibration::default());
    report.attention = Part::Present(Attention::default());
    report.timing = Part::Present(Timing::default());
    report.environment = Part::Present(Vec::new());
    let runs = vec![
        ComparedRun::default(),
        ComparedRun { metrics: Part::Missing("why".into()), ..ComparedRun::default() },
    ];
    let compared = [
        Comparison::default(),
        Comparison { runs, pairs: Part::Present(Vec::new()), ..Comparison::default() },
    ];
    let pages = [render(&report), render_comparison(&compared[0]), render_comparison(&compared[1])];
    for page in pages {
        assert!(!page.contains("NaN") && !page.contains(">inf"), "{page}");
    }
}

#[test]
fn the_summary_states_accuracy_images_and_interval() {
    let mut header = header("run");
    header.network = "resnet18".into();
    header.data_set = "flowers".into();
    let interval = Some(Interval { low: 0.9149, high: 0.947 });
    let estimate = Estimate { value: 0.9324, interval };
    let kind = MetricKind::Accuracy;
    header.headline = Some(Headline { split: "test".into(), kind, estimate, images: 1024 });
    let page = render(&Report::new(header.clone()))
        .replace('\u{a0}', " ")
        .replace("<bdi>", "")
        .replace("</bdi>", "");
    let expected = "resnet18 on flowers, 5 classes: <strong>93.2 %</strong> of 1,024 test images right \
                    (95 % interval 91.5 to 94.7 %).";
    assert!(page.contains(expected), "{page}");
    let kind = MetricKind::MeanAp;
    header.headline = Some(Headline { split: "test".into(), kind, estimate, images: 1024 });
    let page = render(&Report::new(header)).replace('\u{a0}', " ").replace("<bdi>", "").replace("</bdi>", "");
    let expected =
        "5 classes: mAP <strong>93.2 %</strong> on 1,024 test images (95 % interval 91.5 to 94.7 %).";
    assert!(page.contains(expected), "{page}");
}

#[test]
fn epochs_with_several_labels_have_map_in_the_place_of_accuracy() {
    let mut report = Report::new(header("run"));
    let mut curves = fake::curves(3);
    for epoch in &mut curves.epochs {
        epoch.labels = Some(LabelEpoch { map: 0.75, micro_f1: 0.5, macro_f1: f64::NAN, sample_f1: 0.4 });
    }
    report.curves = Part::Present(curves);
    let page = render(&report);
    assert!(page.contains("mAP on the validation split") && page.contains("Subset accuracy"));
    assert!(page.contains("0.7500") && !page.contains("NaN"));
    report.curves = Part::Present(fake::curves(3));
    assert!(!render(&report).contains("mAP"));
}
