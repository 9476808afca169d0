//! Whole frames at three sizes, as text.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw::draw;
use super::{Dashboard, Epoch, EpochTime, Phase, RunInfo, Theme};

/// A run in its eighth epoch of thirty.
fn running(start: Instant) -> (Dashboard, Instant) {
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut dashboard = Dashboard::new(start);
    let info = RunInfo {
        name: "2026-11-30_resnet18_lr0.1".to_owned(),
        network: "resnet18".to_owned(),
        device: "cuda:0".to_owned(),
        train_images: 50_000,
        val_images: 10_000,
        batch_size: 128,
        num_epochs: 30,
        lr: 0.1,
        ..RunInfo::default()
    };
    dashboard.run_started(info, Vec::new());
    for number in 1..=7_u64 {
        let done = number as f64;
        dashboard.epoch_finished(Epoch {
            epoch: number,
            train_loss: 2.3 / done,
            train_accuracy: 0.9 - 0.6 / done,
            val_loss: 2.2 / done + 0.02 * done,
            val_accuracy: 0.85 - 0.5 / done - if number == 7 { 0.02 } else { 0.0 },
            lr: if number < 5 { 0.1 } else { 0.01 },
            improved: number < 7,
            time: Some(EpochTime { elapsed: Duration::from_secs(62), waited: Duration::from_secs(5) }),
        });
    }
    dashboard.set_peak_memory(3_420_000_000);
    dashboard.phase_started(Phase::Train, 7, 391, 0, at(440));
    dashboard.batches_done(150, Some((0.3213, 0.8765)), at(463));
    dashboard.log_line("2026-11-30 10:15:00 | INFO     | run: runs/2026-11-30_resnet18_lr0.1");
    dashboard.log_line(
        "2026-11-30 10:15:02 | \x1b[33mWARNING \x1b[0m | 12 images of class 日本語 \x1b[2Jare damaged",
    );
    for number in 6..=7 {
        dashboard.log_line(&format!(
            "2026-11-30 10:2{number}:00 | INFO     | epoch {number}/30: train loss 0.3833 accuracy 0.8000, val \
             loss 0.4867 accuracy 0.7667 (best), lr 0.01, 62.0 s (8 % waiting for data)"
        ));
    }
    (dashboard, at(465))
}

fn frame(dashboard: &Dashboard, now: Instant, theme: Theme, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(dashboard, theme, now, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

/// The cells as lines; what stands behind a wide character is not a cell of its own.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += (ml_data::table::width(symbol) as u16).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares with a file beside this one; with `UPDATE_SNAPSHOTS` set, writes it.
fn assert_snapshot(name: &str, expected: &str, found: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/snapshots");
        std::fs::write(folder.join(name), found).unwrap();
        return;
    }
    assert!(expected == found, "{name} differs (UPDATE_SNAPSHOTS=1 writes it):\n{found}");
}

#[test]
fn a_running_epoch_at_80x24() {
    let (dashboard, now) = running(Instant::now());
    let found = text(&frame(&dashboard, now, Theme::new(true), 80, 24));
    assert_snapshot("80x24.txt", include_str!("80x24.txt"), &found);
}

#[test]
fn a_running_epoch_at_120x40_without_colors() {
    let (dashboard, now) = running(Instant::now());
    let found = text(&frame(&dashboard, now, Theme::new(false), 120, 40));
    assert_snapshot("120x40.txt", include_str!("120x40.txt"), &found);
}

#[test]
fn a_running_epoch_at_40x10() {
    let (dashboard, now) = running(Instant::now());
    let found = text(&frame(&dashboard, now, Theme::new(true), 40, 10));
    assert_snapshot("40x10.txt", include_str!("40x10.txt"), &found);
}

#[test]
fn a_run_that_starts_at_80x24() {
    let mut dashboard = Dashboard::new(Instant::now());
    dashboard.set_status("downloading resnet18-f37072fd.pth: 12.3 MB of 46.8 MB");
    let found = text(&frame(&dashboard, Instant::now(), Theme::new(true), 80, 24));
    assert_snapshot("start.txt", include_str!("start.txt"), &found);
}

#[test]
fn the_learning_rate_has_a_curve_where_there_is_room() {
    let (dashboard, now) = running(Instant::now());
    let shown = |width| text(&frame(&dashboard, now, Theme::new(true), width, 40));
    let (wide, narrow) = (shown(160), shown(140));
    assert!(wide.contains("learning rate ⠒ 0.01 ") && wide.contains("accuracy ⠒ train 0.8143"), "{wide}");
    assert!(!narrow.contains("learning rate"), "{narrow}");
}

#[test]
fn without_colors_no_cell_has_one() {
    let (dashboard, now) = running(Instant::now());
    let is_plain = |theme| {
        let buffer = frame(&dashboard, now, theme, 120, 40);
        let default = ratatui::style::Color::Reset;
        buffer.content().iter().all(|cell| cell.fg == default && cell.bg == default)
    };
    assert!(is_plain(Theme::new(false)) && !is_plain(Theme::new(true)));
}

#[test]
fn every_size_and_every_value_can_be_drawn() {
    let start = Instant::now();
    let (mut dashboard, now) = running(start);
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 1e-300, 1e300];
    let mut strange = dashboard.clone();
    strange.info.name = "\x1b[31m\u{202e}\n日本語".repeat(50);
    strange.info.num_epochs = u64::MAX;
    for (number, value) in (1..).zip(values) {
        strange.epoch_finished(Epoch {
            epoch: u64::MAX - number,
            train_loss: value,
            train_accuracy: value,
            val_loss: -value,
            val_accuracy: value,
            lr: value,
            improved: true,
            time: Some(EpochTime { elapsed: Duration::MAX, waited: Duration::MAX }),
        });
    }
    strange.batches_done(1, Some((f64::NAN, f64::INFINITY)), now);
    strange.set_peak_memory(u64::MAX);
    strange.log_line(&"\u{301}\u{200d}👩‍🚀\x07".repeat(300));
    dashboard.phase_finished();
    for dashboard in [&dashboard, &strange, &Dashboard::new(start)] {
        let sizes = [0, 1, 2, 3, 4, 5, 7, 9, 10, 13, 16, 18, 21, 24, 40, 47, 48, 67, 80, 109, 110, 130];
        for width in sizes {
            for height in sizes.into_iter().filter(|&height| height <= 48) {
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                draw(dashboard, Theme::new(true), now, buffer.area, &mut buffer);
                let hostile = |c: char| c.is_control() || c == '\u{202e}';
                assert!(!buffer.content().iter().any(|cell| cell.symbol().contains(hostile)));
            }
        }
    }
}
