//! A small HTTP server for tests, here and in ml-core: one thread a connection, one request a
//! connection.

#![allow(dead_code)] // each of the two needs a part of it

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Path, with its slash.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

impl Request {
    /// The first byte asked for, if not the whole.
    pub fn range(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// As in `200 OK`.
    pub status: String,
    /// As in `ETag: "1"`.
    pub headers: Vec<String>,
    /// After the head.
    pub body: Vec<u8>,
    /// How long the connection then stays open with nothing sent.
    pub silence: Duration,
}

impl Reply {
    /// A status without a body.
    pub fn status(status: &str) -> Reply {
        Reply { status: status.to_owned(), headers: vec!["Content-Length: 0".to_owned()], ..Reply::default() }
    }

    /// All of `file`.
    pub fn whole(file: &[u8]) -> Reply {
        let headers = vec![format!("Content-Length: {}", file.len())];
        Reply { status: "200 OK".to_owned(), headers, body: file.to_owned(), silence: Duration::ZERO }
    }

    /// What was asked for of `file`, which the server calls `tag`.
    pub fn ranged(file: &[u8], tag: &str, request: &Request) -> Reply {
        let same = request.headers.get("if-range").is_none_or(|given| given == tag);
        let mut reply = match request.range().filter(|_| same) {
            Some(start) if start >= file.len() => {
                return Reply::status("416 Range Not Satisfiable");
            }
            Some(start) => {
                let mut reply = Reply::whole(&file[start..]);
                "206 Partial Content".clone_into(&mut reply.status);
                let last = file.len() - 1;
                reply.headers.push(format!("Content-Range: bytes {start}-{last}/{}", file.len()));
                reply
            }
            None => Reply::whole(file),
        };
        reply.headers.push(format!("ETag: {tag}"));
        reply
    }

    /// The connection is closed after so many bytes of the body.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Reply {
        self.body.truncate(bytes);
        self
    }
}

/// Answers until it is dropped.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` is told how many requests came before.
    pub fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, stop) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped, answer) = (Arc::clone(&requests), Arc::clone(&stop), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, stopped, answer) = (Arc::clone(&seen), Arc::clone(&stopped), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let Some(request) = read_request(&stream) else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    send(&stream, &answer(number, &request), &stopped);
                });
            }
        });
        Server { port, requests, stop, thread: Some(thread) }
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().map(JoinHandle::join);
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    Some(Request { path, headers: headers.collect() })
}

/// A client that has gone away is none of the server's business.
fn send(mut stream: &TcpStream, reply: &Reply, stopped: &AtomicBool) {
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", reply.status);
    reply.headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    head.push_str("\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body));
    let piece = Duration::from_millis(20);
    let mut left = reply.silence;
    while !left.is_zero() && !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(left.min(piece));
        left = left.saturating_sub(piece);
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// An address at which nothing listens.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
