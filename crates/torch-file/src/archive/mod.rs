//! The zip container of a `.pt` file: stored entries whose data begin at multiples of 64 bytes.
//!
//! Own code rather than a zip library's, for what a checkpoint needs: written in one pass through a
//! plain `Write`, aligned so that Python can map it into memory, and read within bounds that a
//! hostile file cannot move (no overlapping entries, nothing compressed, nothing larger than the
//! file). Layout: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.

mod reader;
mod writer;

pub(super) use reader::{Archive, Source};
pub(super) use writer::ArchiveWriter;

/// Where each entry's data begin: the multiple that torch 2.11 uses and names in
/// `.storage_alignment`.
const ALIGNMENT: u64 = 64;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const END64_LOCATOR: u32 = 0x0706_4b50;
