//! Invented reports.

use super::super::*;

/// Names that would break a page that does not escape them.
pub(super) fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "<script>alert(1)</script>",
        "\"onmouseover=\"alert(2)",
        "</style></title></pre><b>bold",
        "' & < > \" `",
        "\u{202e}reversed\u{0}",
        "line one\nline two",
        "http://example.com/x.png",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(300));
    names
}

pub(super) fn header(name: &str) -> Header {
    Header {
        name: name.into(),
        status: Status::Failed(name.into()),
        network: name.into(),
        data_set: name.into(),
        classes: 5,
        headline: None,
        date: name.into(),
        program: name.into(),
    }
}

pub(super) fn thumbnail(name: &str, bytes: usize) -> Thumbnail {
    Thumbnail { jpeg: vec![0xff; bytes], alt: name.into(), caption: name.into() }
}

pub(super) fn example(name: &str, bytes: usize) -> Example {
    let image = thumbnail(name, bytes);
    Example { image, label: name.into(), prediction: name.into(), probability: 0.5 }
}

pub(super) fn settings(names: &[String]) -> Vec<Setting> {
    names
        .iter()
        .map(|name| Setting { key: name.clone(), value: name.clone(), default: Some(name.clone()) })
        .collect()
}

pub(super) fn split(name: &str) -> SplitMetrics {
    use MetricKind::{
        Accuracy, BalancedAccuracy, Kappa, Loss, MacroAp, MacroF1, MacroPrecision, MacroRecall, MacroRocAuc,
        Mcc, TopK, WeightedF1, WeightedPrecision, WeightedRecall,
    };
    let kinds = [
        Accuracy,
        TopK(5),
        BalancedAccuracy,
        MacroPrecision,
        MacroRecall,
        MacroF1,
        WeightedPrecision,
        WeightedRecall,
        WeightedF1,
        Kappa,
        Mcc,
        MacroRocAuc,
        MacroAp,
        Loss,
    ];
    let interval = Some(Interval { low: 0.915, high: 0.947 });
    let metrics = kinds.map(|kind| Metric { kind, estimate: Estimate { value: 0.932, interval } }).to_vec();
    SplitMetrics { split: name.into(), images: 1024, metrics, not_finite: 1 }
}

pub(super) fn curves(epochs: u64) -> Curves {
    let of = |epoch: u64| Epoch {
        epoch,
        train_loss: 1.0 / epoch as f64,
        val_loss: if epoch.is_multiple_of(5) { f64::NAN } else { 1.1 / epoch as f64 },
        train_accuracy: 0.9,
        val_accuracy: 0.8,
        learning_rate: 0.1,
        labels: None,
    };
    let point = |epoch| AveragePoint { epoch, val_loss: 0.4, val_accuracy: 0.85 };
    let average = Average {
        name: "SWA".into(),
        of: "at the end of 2 epochs".into(),
        points: vec![point(1), point(epochs)],
        note: "best.pt is this average.".into(),
    };
    Curves { epochs: (1..=epochs).map(of).collect(), best_epoch: Some(epochs), averages: vec![average] }
}

/// Everything is there, and named by `names`; lists have `length` elements.
pub(super) fn full(names: &[String], length: usize, bytes: usize) -> Report {
    let name = |index: usize| names[index % names.len()].clone();
    let list = || (0..length).map(name);
    let classes = names.len();
    let mut report = Report::new(header(&name(0)));
    let estimate = Estimate { value: 0.9, interval: None };
    report.header.headline =
        Some(Headline { split: name(1), kind: MetricKind::Accuracy, estimate, images: 1024 });
    report.setup = Part::Present(Setup {
        command: names.join(" "),
        settings: settings(&list().collect::<Vec<_>>()),
        network: Part::Present(Network {
            architecture: name(0),
            parameters: 11_000,
            trainable: Some(500),
            input: name(1),
            weights: name(2),
        }),
        data_set: Part::Present(DataSet {
            path: name(3),
            classes: classes as u64,
            splits: list().map(|name| (name, 5)).collect(),
            groups: Some(name(4)),
        }),
    });
    report.curves = Part::Present(curves(10_000));
    report.metrics = Part::Present(list().map(|name| split(&name)).collect());
    let row = |class: String| ClassRow {
        class,
        precision: 0.5,
        recall: f64::NAN,
        f1: 0.5,
        ap: None,
        auc: Some(0.9),
        threshold: Some(0.3),
        support: 5,
        train_images: Some(3),
    };
    report.findings.classes = Part::Present(ClassTable {
        split: name(0),
        rows: names.iter().cloned().map(row).collect(),
        few_images: 20,
    });
    let counts = vec![50; classes * classes];
    report.findings.confusion = Part::Present(Confusion { split: name(0), classes: names.to_vec(), counts });
    let bins = vec![ReliabilityBin { confidence: 0.5, accuracy: 0.4, count: 7 }];
    let before = Reliability { bins, ece: 0.1 };
    report.findings.calibration = Part::Present(Calibration {
        split: name(0),
        before: before.clone(),
        after: Some(before),
        temperature: Some(1.3),
        note: name(0),
    });
    let answered = |split: String| Answered { split, coverage: 0.9, risk: 0.03, bound: 0.05 };
    let (chosen, measured) = (answered(name(0)), Some(answered(name(1))));
    let threshold = Threshold { confidence: 0.7, max_error: 0.04, chosen, measured, level: 0.95 };
    report.findings.selective = Part::Present(Selective {
        split: name(0),
        points: (1..=50_000).map(|rank| (f64::from(rank) / 50_000.0, 0.05)).collect(),
        threshold: Part::Present(threshold),
        aurc: Some(0.01),
    });
    report.findings.out_of_distribution =
        Part::Present(OutOfDistribution { accepted: 0.95, split: name(1), examples: Vec::new() });
    let accuracy = Estimate { value: 0.9, interval: Some(Interval { low: 0.8, high: 0.95 }) };
    report.findings.groups = Part::Present(Groups {
        split: name(0),
        by: crate::groups::GroupedBy::Group,
        rows: list().map(|name| (name, 5, accuracy)).collect(),
    });
    report.timing = Part::Present(Timing {
        total_seconds: 4512.0,
        epochs: 30,
        seconds_per_epoch: 141.2,
        waiting_share: Some(0.08),
        images_per_second: Some(99.0),
        peak_memory: list().map(|name| (name, 4_000_000_000)).collect(),
        phases: list().map(|name| (name, 1.0)).collect(),
    });
    report.environment = Part::Present(list().map(|name| (name.clone(), name)).collect());
    add_images(&mut report, names, length, bytes);
    add_labels(&mut report, names, length, bytes);
    report
}

/// What there is with several labels an image.
fn add_labels(report: &mut Report, names: &[String], length: usize, bytes: usize) {
    let list = || (0..length).map(|index| names[index % names.len()].clone());
    let curve = |class| PrecisionRecall { class, ap: Some(0.9), points: vec![(0.5, 1.0), (1.0, 0.8)] };
    report.labels.curves = Part::Present(PrecisionRecallCurves {
        split: names[0].clone(),
        classes: names.len() as u64,
        curves: std::iter::once(None).chain(list().map(Some)).map(curve).collect(),
    });
    let example = |name: String| LabelExample {
        image: thumbnail(&name, bytes),
        labels: name.clone(),
        predicted: String::new(),
        class: name,
        probability: 0.5,
    };
    let examples = || list().map(example).collect::<Vec<_>>();
    report.labels.mistakes =
        Part::Present(LabelMistakes { split: names[0].clone(), extra: examples(), missing: examples() });
    let bins = vec![ReliabilityBin { confidence: 0.5, accuracy: 0.4, count: 7 }];
    report.labels.calibration = Part::Present(LabelCalibration {
        split: names[0].clone(),
        reliability: Reliability { bins, ece: 0.1 },
    });
}

fn add_images(report: &mut Report, names: &[String], length: usize, bytes: usize) {
    let name = |index: usize| names[index % names.len()].clone();
    let list = || (0..length).map(name);
    let images = |name: &str| vec![thumbnail(name, bytes); 10];
    let pair = |name: String| {
        let examples = images(&name);
        ConfusedPair { true_class: name.clone(), predicted: name, count: 3, support: 9, examples }
    };
    report.findings.confused_pairs = Part::Present(list().map(pair).collect());
    let examples = || list().map(|name| example(&name, bytes)).collect::<Vec<_>>();
    report.findings.mistakes = Part::Present(Mistakes {
        split: name(0),
        worst: examples(),
        uncertain: examples(),
        exemplars: list().map(|name| (name.clone(), images(&name))).collect(),
    });
    let issue = |name: String| LabelIssue {
        image: thumbnail(&name, bytes),
        given: name.clone(),
        suggested: name,
        self_confidence: 0.01,
    };
    report.findings.label_issues = Part::Present(LabelIssues {
        issues: list().map(issue).collect(),
        total: length as u64,
        examined: 50_000,
        commands: list().map(|name| (name.clone(), name)).collect(),
    });
    let explanation =
        |name: String| Explanation { example: example(&name, bytes), overlay: thumbnail(&name, bytes) };
    report.attention = Part::Present(Attention {
        layer: name(0),
        right: list().map(explanation).collect(),
        wrong: list().map(explanation).collect(),
    });
}

pub(super) fn comparison(names: &[String]) -> Comparison {
    let run = |name: &String| ComparedRun {
        name: name.clone(),
        link: Some(name.clone()),
        settings: settings(std::slice::from_ref(name)),
        metrics: Part::Present(split(name)),
        curves: Part::Present(curves(5)),
    };
    let pair = PairedTest {
        runs: (0, 99),
        images: 5,
        only_first: 2,
        first_right: vec![example(&names[0], 9)],
        ..PairedTest::default()
    };
    Comparison {
        data_set: names[0].clone(),
        runs: names.iter().map(run).collect(),
        pairs: Part::Present(vec![pair]),
        by_map: false,
        notes: names.to_vec(),
        date: names[1].clone(),
        program: names[2].clone(),
    }
}

pub(super) fn folds(names: &[String]) -> Folds {
    let fold = |name: &String| Fold {
        name: name.clone(),
        link: Some(name.clone()),
        status: Status::Interrupted(name.clone()),
        best_epoch: None,
        metrics: Part::Present(split(name)),
    };
    Folds {
        name: names[0].clone(),
        kind: FoldKind::Seeds,
        network: names[1].clone(),
        data_set: names[2].clone(),
        folds: names.iter().map(fold).collect(),
        spread: vec![Spread { kind: MetricKind::Accuracy, mean: 0.9, sd: 0.01, interval: None }],
        out_of_fold: Part::Present(split(&names[3])),
        findings: full(names, 20, 9).findings,
        date: names[4].clone(),
        program: names[5].clone(),
    }
}
