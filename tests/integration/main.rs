//! The programs as their users see them: files in, exit codes and text out.

#![allow(clippy::unwrap_used)] // a failed step of a test should end it where it stands

mod check;
mod data;
mod inference;
mod init;
mod loading;
mod resume;
mod split;
mod support;
mod train;
mod visualise;
