//! Transfers from a server of this machine that behaves and misbehaves.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::http::{Reply, Request, Server, nowhere};
use crate::weights::download::{Download, Event, FetchError, FetchOptions};
use crate::weights::fetch::fetch;

const TAG: &str = "\"one\"";

/// A file to fetch, and a folder to put it in.
struct Case {
    folder: tempfile::TempDir,
    file: Vec<u8>,
    hash: String,
}

impl Case {
    fn new() -> Case {
        let file: Vec<u8> =
            (0..600_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let hash = hex::encode(Sha256::digest(&file));
        Case { folder: tempfile::tempdir().unwrap(), file, hash }
    }

    fn to(&self) -> PathBuf {
        self.folder.path().join("hub/net.pth")
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join("hub/net.pth.partial")
    }

    /// What an earlier transfer left.
    fn leave(&self, bytes: &[u8]) {
        fs::create_dir_all(self.partial().parent().unwrap()).unwrap();
        fs::write(self.partial(), bytes).unwrap();
    }

    fn fetch(&self, base: &str) -> (Result<(), FetchError>, Vec<String>) {
        self.fetch_with(base, &quick())
    }

    /// Also the reasons of retries.
    fn fetch_with(&self, base: &str, options: &FetchOptions) -> (Result<(), FetchError>, Vec<String>) {
        let mut reasons = Vec::new();
        let result = self.fetch_telling(base, options, &mut |event| {
            if let Event::Retry { reason, .. } = event {
                reasons.push(reason.to_owned());
            }
            ControlFlow::Continue(())
        });
        (result, reasons)
    }

    fn fetch_telling(
        &self,
        base: &str,
        options: &FetchOptions,
        listener: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), FetchError> {
        let (url, to) = (format!("{base}/net.pth"), self.to());
        let len = self.file.len() as u64;
        let download = Download { url: &url, to: &to, sha256: &self.hash[..8], sizes: len - 100..=len + 100 };
        fetch(&download, options, listener)
    }

    /// The file is there, and nothing beside it.
    fn is_fetched(&self) {
        assert!(fs::read(self.to()).unwrap() == self.file, "the bytes are the file's");
        assert!(!self.partial().exists());
    }

    fn is_untouched(&self) {
        assert!(!self.to().exists() && !self.partial().exists());
    }
}

fn quick() -> FetchOptions {
    FetchOptions {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(10),
        attempts: 3,
        first_wait: Duration::from_millis(5),
        environment: false,
    }
}

/// Serves the case's file with ranges, but for what `answer` answers.
fn server(case: &Case, answer: impl Fn(usize, &Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let file = case.file.clone();
    Server::start(move |number, request| {
        answer(number, request).unwrap_or_else(|| Reply::ranged(&file, TAG, request))
    })
}

#[test]
fn a_whole_file_is_fetched_verified_and_named() {
    let case = Case::new();
    let server = server(&case, |_, _| None);
    let mut seen = Vec::new();
    let all = case.file.len() as u64;
    case.fetch_telling(&server.url(), &quick(), &mut |event| {
        if let Event::Progress { done, total } = event {
            assert_eq!(total, Some(all));
            seen.push(done);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    case.is_fetched();
    assert!(seen.is_sorted() && seen.first() == Some(&0) && seen.last() == Some(&all), "{seen:?}");
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert_eq!((request.path.as_str(), request.range()), ("/net.pth", None));
    assert_eq!(request.headers["accept-encoding"], "identity");
}

#[test]
fn a_transfer_that_is_cut_goes_on_where_it_ended() {
    let case = Case::new();
    let file = case.file.clone();
    let server = server(&case, move |number, request| {
        (number < 2).then(|| Reply::ranged(&file, TAG, request).cut(700_000))
    });
    let (result, reasons) = case.fetch(&server.url());
    result.unwrap();
    case.is_fetched();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let requests = server.requests();
    assert_eq!(
        requests.iter().map(Request::range).collect::<Vec<_>>(),
        [None, Some(700_000), Some(1_400_000)]
    );
    assert_eq!(requests[1].headers["if-range"], TAG);
}

#[test]
fn what_an_earlier_process_left_is_completed() {
    let case = Case::new();
    case.leave(&case.file[..1_000_001]);
    let server = server(&case, |_, _| None);
    case.fetch(&server.url()).0.unwrap();
    case.is_fetched();
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert_eq!(request.range(), Some(1_000_001));

    // All was there but the name.
    let case = Case::new();
    case.leave(&case.file);
    case.fetch(&server.url()).0.unwrap();
    case.is_fetched();
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let case = Case::new();
    case.leave(&case.file[..1_000_001]);
    let file = case.file.clone();
    let server = server(&case, move |_, _| Some(Reply::whole(&file)));
    case.fetch(&server.url()).0.unwrap();
    case.is_fetched();
}

#[test]
fn parts_of_two_different_files_are_given_up_for_the_newer_one() {
    // Another file was begun, in an earlier process ...
    let case = Case::new();
    case.leave(&vec![7; 1_000_001]);
    let plain = server(&case, |_, _| None);
    case.fetch(&plain.url()).0.unwrap();
    case.is_fetched();
    assert_eq!(plain.requests().iter().map(Request::range).collect::<Vec<_>>(), [Some(1_000_001), None]);

    // ... or in this one, and has changed since.
    let case = Case::new();
    let changing = server(&case, |number, request| {
        (number == 0).then(|| Reply::ranged(&vec![7; 2_400_000], "\"old\"", request).cut(500_000))
    });
    case.fetch(&changing.url()).0.unwrap();
    case.is_fetched();
    assert_eq!(changing.requests().len(), 2);

    // But a server that never sends the right one is not asked for ever.
    let case = Case::new();
    let wrong = server(&case, |number, request| {
        let reply = Reply::ranged(&vec![7; 2_400_000], TAG, request);
        Some(if number % 2 == 0 { reply.cut(500_000) } else { reply })
    });
    let error = case.fetch(&wrong.url()).0.unwrap_err();
    assert!(matches!(error, FetchError::WrongHash { .. }), "{error}");
    assert_eq!(wrong.requests().len(), 4);
    case.is_untouched();
}

#[test]
fn another_file_than_the_published_one_is_refused_with_both_hashes() {
    let case = Case::new();
    let mut other = case.file.clone();
    other[123] ^= 1;
    let found = hex::encode(Sha256::digest(&other));
    let server = server(&case, move |_, _| Some(Reply::whole(&other)));
    let error = case.fetch(&server.url()).0.unwrap_err().to_string();
    assert!(error.contains(&case.hash[..8]) && error.contains(&found), "{error}");
    assert_eq!(server.requests().len(), 1);
    case.is_untouched();
}

#[test]
fn a_missing_file_is_not_asked_for_again() {
    let case = Case::new();
    let server = server(&case, |_, _| Some(Reply::status("404 Not Found")));
    let error = case.fetch(&server.url()).0.unwrap_err().to_string();
    let to = case.to().display().to_string();
    for part in ["404 Not Found", &format!("{}/net.pth", server.url()), &to, "ML_WEIGHTS_MIRROR"] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    assert_eq!(server.requests().len(), 1);
    case.is_untouched();
}

#[test]
fn a_server_that_is_busy_for_a_while_is_asked_again() {
    let case = Case::new();
    let server = server(&case, |number, _| (number < 2).then(|| Reply::status("503 Service Unavailable")));
    let (result, reasons) = case.fetch(&server.url());
    result.unwrap();
    case.is_fetched();
    assert_eq!(reasons, ["the server answers 503 Service Unavailable"; 2]);
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_what_came_is_kept() {
    let case = Case::new();
    let file = case.file.clone();
    let server = server(&case, move |_, request| {
        let silence = Duration::from_mins(1);
        Some(Reply { silence, ..Reply::ranged(&file[..], TAG, request).cut(5000) })
    });
    let options = FetchOptions { read_timeout: Duration::from_millis(150), attempts: 1, ..quick() };
    let started = Instant::now();
    let error = case.fetch_with(&server.url(), &options).0.unwrap_err().to_string();
    assert!(error.contains("nothing has come for 0.15 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(fs::read(case.partial()).unwrap() == case.file[..5000]);
}

#[test]
fn without_a_network_the_error_says_what_to_do() {
    let case = Case::new();
    let base = nowhere();
    let (result, reasons) = case.fetch(&base);
    let error = result.unwrap_err().to_string();
    for part in [&base, "Connection refused", "put it at", &case.to().display().to_string()] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    assert_eq!(reasons.len(), 2, "three attempts");
}

#[test]
fn no_more_is_written_than_the_published_file_has() {
    // The size is announced, or not.
    for headers in [vec!["Content-Length: 5000000".to_owned()], Vec::new()] {
        let case = Case::new();
        let server = server(&case, move |_, _| {
            let (status, headers) = ("200 OK".to_owned(), headers.clone());
            Some(Reply { status, headers, body: vec![1; 5_000_000], silence: Duration::ZERO })
        });
        let error = case.fetch(&server.url()).0.unwrap_err().to_string();
        assert!(error.contains("larger than the published file"), "{error}");
        case.is_untouched();
    }
}

#[test]
fn an_answer_without_a_length_that_ends_too_early_is_not_taken_for_the_file() {
    let case = Case::new();
    let part = case.file[..900_000].to_vec();
    let server = server(&case, move |number, _| {
        (number == 0).then(|| Reply { status: "200 OK".to_owned(), body: part.clone(), ..Reply::default() })
    });
    let (result, reasons) = case.fetch(&server.url());
    result.unwrap();
    case.is_fetched();
    assert_eq!(reasons, ["the answer ended after 900000 of 2399900 bytes"]);
}

#[test]
fn an_interrupted_transfer_keeps_what_came() {
    let case = Case::new();
    let server = server(&case, |_, _| None);
    let result = case.fetch_telling(&server.url(), &quick(), &mut |event| match event {
        Event::Progress { done, .. } if done > 100_000 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(result, Err(FetchError::Interrupted)), "{result:?}");
    assert!(fs::metadata(case.partial()).unwrap().len() > 100_000);
    case.fetch(&server.url()).0.unwrap();
    case.is_fetched();
}

#[test]
fn of_two_at_once_one_fetches_and_the_other_waits() {
    let case = Case::new();
    let server = server(&case, |_, _| None);
    let wait = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                wait.wait();
                case.fetch_telling(&server.url(), &quick(), &mut |event| {
                    if matches!(event, Event::Progress { .. }) {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            });
        }
    });
    case.is_fetched();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let case = Case::new();
    fs::write(case.folder.path().join("hub"), "a file").unwrap();
    let error = case.fetch(&nowhere()).0.unwrap_err().to_string();
    assert!(error.contains("hub") && error.contains("TORCH_HOME"), "{error}");
}
