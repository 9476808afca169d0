//! The width of the terminal.

/// Columns of the terminal on stdout; none where it is something else.
pub fn terminal_width() -> Option<usize> {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|n| *n > 0)
}
