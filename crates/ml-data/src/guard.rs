//! Panics that are reported as errors: a decoder's over a damaged image, tch's where libtorch refuses.
//!
//! A panic hook is called before anyone can catch the panic, so it has to be able to ask whether
//! there is something to say: [`is_expected`].

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    static EXPECTED: Cell<fn(&str) -> bool> = const { Cell::new(nothing) };
}

fn nothing(_: &str) -> bool {
    false
}

/// Whether a panic of this thread with this message becomes an error, so that a panic hook has
/// nothing to say.
pub fn is_expected(message: &str) -> bool {
    EXPECTED.get()(message)
}

/// Runs `body`. A panic whose message is `expected` is caught and its message given; any other goes
/// on.
///
/// # Errors
/// The message of a panic that was caught.
pub fn caught<T>(expected: fn(&str) -> bool, body: impl FnOnce() -> T) -> Result<T, String> {
    let outer = EXPECTED.replace(expected);
    let result = catch_unwind(AssertUnwindSafe(body));
    EXPECTED.set(outer);
    result.or_else(|panic| {
        let message = message(panic.as_ref());
        if expected(message) { Err(message.to_owned()) } else { resume_unwind(panic) }
    })
}

/// What a panic that was caught says.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no reason given",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_panics_are_errors_and_others_go_on() {
        let is_ours = |message: &str| message.starts_with("ours");
        assert_eq!(caught(is_ours, || 3), Ok(3));
        let found = caught(is_ours, || -> u8 {
            assert!(is_expected("ours: 1") && !is_expected("theirs"));
            panic!("ours: {}", 1)
        });
        assert_eq!(found, Err("ours: 1".to_owned()));
        let other = catch_unwind(|| caught(is_ours, || panic!("theirs")));
        assert!(other.is_err());
        assert!(!is_expected("ours: 1"));
    }
}
