//! The programs as their users see them: files in, exit codes and text out.

mod inference;
mod train;
mod visualise;
