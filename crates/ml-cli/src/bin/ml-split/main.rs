//! ml-split

fn main() {}
