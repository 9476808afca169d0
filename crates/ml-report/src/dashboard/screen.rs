//! A [`SharedDashboard`] → frames on the terminal of stderr, until the [`Screen`] is dropped.
//!
//! In: the state, read ten times a second by a thread of its own, and the size of the terminal.
//! Out: the cells that have changed; after a change of size, and every few seconds, all of them.

use std::io;
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ml_data::guard::is_expected;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::draw::draw;
use super::shared::SharedDashboard;
pub use super::terminal::ScreenError;
use super::terminal::{self, restore};
use super::theme::Theme;

/// Between two frames.
const INTERVAL: Duration = Duration::from_millis(100);
/// Between two frames when nothing has changed but the clock.
const TICK: Duration = Duration::from_secs(1);
/// Between two frames that repair what others have written to the terminal.
const REPAINT: Duration = Duration::from_secs(5);
/// Erases all cells.
const CLEAR: &[u8] = b"\x1b[2J";

/// The dashboard on the terminal; dropping it gives the terminal back.
#[derive(Debug)]
pub struct Screen {
    dashboard: SharedDashboard,
    /// The drawing thread ends when this is dropped.
    _stop: Sender<()>,
}

impl Screen {
    /// Shows `dashboard`, and sees to it that an unexpected panic gives the terminal back before it
    /// is reported.
    ///
    /// # Errors
    /// stderr is no terminal, or not this program's; another dashboard is shown; the system
    /// refuses.
    pub fn enter(dashboard: &SharedDashboard, theme: Theme) -> Result<Screen, ScreenError> {
        install_panic_hook();
        // Else crossterm would look for NO_COLOR itself.
        ratatui::crossterm::style::force_color_output(theme.is_colored());
        terminal::enter(dashboard)?;
        let (stop, stopped) = channel();
        let screen = Screen { dashboard: dashboard.clone(), _stop: stop };
        let mut painter = Painter { dashboard: dashboard.clone(), theme, shown: None };
        let thread = std::thread::Builder::new().name("dashboard".to_owned());
        thread.spawn(move || painter.run(&stopped))?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
        // What a panic kept from being printed.
        self.dashboard.screen_is_gone();
    }
}

/// Panics that become errors leave the dashboard alone.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_expected(info.payload_as_str().unwrap_or_default()) {
                restore();
            }
            previous(info);
        }));
    });
}

struct Painter {
    dashboard: SharedDashboard,
    theme: Theme,
    shown: Option<Shown>,
}

/// What is on the screen.
struct Shown {
    cells: Buffer,
    revision: u64,
    drawn: Instant,
    repainted: Instant,
}

impl Painter {
    /// Draws until the screen is dropped; a terminal that cannot be written is given up.
    fn run(&mut self, stopped: &Receiver<()>) {
        while self.paint(Instant::now()).unwrap_or(false) {
            if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        restore();
    }

    /// Draws what has changed; says whether the screen is still there.
    fn paint(&mut self, now: Instant) -> io::Result<bool> {
        let (width, height) = terminal::size()?;
        let area = Rect::new(0, 0, width, height);
        let revision = self.dashboard.revision();
        let shown = self.shown.take().filter(|shown| *shown.cells.area() == area);
        let since = |time: Instant| now.saturating_duration_since(time);
        if shown.as_ref().is_some_and(|shown| shown.revision == revision && since(shown.drawn) < TICK) {
            self.shown = shown;
            return Ok(true);
        }
        let mut cells = Buffer::empty(area);
        self.dashboard.view(|dashboard| draw(dashboard, self.theme, now, area, &mut cells));
        let mut bytes = if shown.is_some() { Vec::new() } else { CLEAR.to_vec() };
        let (previous, repainted) = match shown {
            Some(shown) if since(shown.repainted) < REPAINT => (shown.cells, shown.repainted),
            _ => (Buffer::filled(area, unlike_any()), now),
        };
        CrosstermBackend::new(&mut bytes).draw(previous.diff(&cells).into_iter())?;
        self.shown = Some(Shown { cells, revision, drawn: now, repainted });
        terminal::write_frame(&bytes)
    }
}

/// The state was not free when the panic hook gave the terminal back, if it was drawn just then.
impl Drop for Painter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dashboard.screen_is_gone();
        }
    }
}

/// A cell that is never drawn, so that all differ from it.
fn unlike_any() -> Cell {
    let mut cell = Cell::new("?");
    cell.modifier = Modifier::all();
    cell
}
