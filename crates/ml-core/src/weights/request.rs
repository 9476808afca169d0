//! One HTTP request for a file, or for the rest of it.

use std::fs;
use std::io::{self, Read};

use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use super::download::{FetchOptions, Reason};

/// Sends requests.
pub(super) struct Client {
    agent: Agent,
    options: FetchOptions,
}

/// What a server sends.
pub(super) enum Answer {
    /// The file from its beginning, of so many bytes where that is said.
    Whole { body: Box<dyn Read>, total: Option<u64> },
    /// The file from where was asked.
    Rest { body: Box<dyn Read>, total: Option<u64> },
    /// The file ends where was asked, or before.
    NothingLeft,
}

impl Client {
    pub(super) fn new(options: &FetchOptions) -> Client {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .user_agent(concat!("ml-train/", env!("CARGO_PKG_VERSION")));
        if options.environment {
            config = config.tls_config(TlsConfig::builder().root_certs(root_certificates()).build());
        } else {
            config = config.proxy(None);
        }
        Client { agent: config.build().into(), options: *options }
    }

    /// Asks for the file from byte `from` on. `tag` is what the server calls this version of it,
    /// once it has said so: if it has another by now, it is to send that one whole.
    pub(super) fn get(&self, url: &str, from: u64, tag: &mut Option<String>) -> Result<Answer, Reason> {
        // Compressed, neither positions nor sizes would be those of the file.
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
            if let Some(tag) = &tag {
                request = request.header("If-Range", tag);
            }
        }
        let response = request.call().map_err(|error| self.reason(&error))?;
        let (parts, body) = response.into_parts();
        let said = body.content_length();
        let body: Box<dyn Read> = Box::new(body.into_reader());
        match parts.status {
            StatusCode::OK => {
                *tag = strong_tag(&parts.headers);
                Ok(Answer::Whole { body, total: said })
            }
            StatusCode::PARTIAL_CONTENT => {
                let (start, total) = content_range(&parts.headers).unwrap_or((0, None));
                let from = if from == start { Ok(from) } else { Err(from) };
                match from {
                    Ok(from) => {
                        *tag = strong_tag(&parts.headers);
                        Ok(Answer::Rest { body, total: total.or(said.map(|said| from + said)) })
                    }
                    Err(from) => Err(Reason {
                        text: format!(
                            "the server sent another part of the file than that from byte {from} on"
                        ),
                        passes: false,
                    }),
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => Ok(Answer::NothingLeft),
            status => Err(Reason {
                text: format!("the server answers {status}"),
                passes: status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS),
            }),
        }
    }

    /// In words.
    fn reason(&self, error: &Error) -> Reason {
        // A certificate that is not trusted comes as data that are not valid.
        let is_untrusted = matches!(error, Error::Tls(_) | Error::Rustls(_))
            || matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::InvalidData);
        let passes = !is_untrusted && !matches!(error, Error::BadUri(_) | Error::TooManyRedirects);
        let text = match error {
            Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                format!("no connection within {} s", self.options.connect_timeout.as_secs_f64())
            }
            Error::Timeout(_) => {
                format!("nothing has come for {} s", self.options.read_timeout.as_secs_f64())
            }
            Error::HostNotFound => "the host is not found".to_owned(),
            Error::Io(error) if is_untrusted => {
                format!("{error} (SSL_CERT_FILE names a file with other certificates to trust)")
            }
            Error::Io(error) => error.to_string(),
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        Reason { text, passes }
    }

    /// Of a body that could not be read on.
    pub(super) fn reason_of_read(&self, error: io::Error) -> Reason {
        Reason { passes: true, ..self.reason(&Error::from(error)) }
    }
}

/// Those of the file that `SSL_CERT_FILE` names, else Mozilla's, which are compiled in.
fn root_certificates() -> RootCerts {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return RootCerts::WebPki;
    };
    let pem = fs::read(&path).unwrap_or_else(|error| {
        tracing::warn!("SSL_CERT_FILE {}: {error}: no server will be trusted", path.display());
        Vec::new()
    });
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    RootCerts::from(certificates)
}

/// A tag that says "the same bytes"; weak ones say "the same to a reader".
fn strong_tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get("ETag")?.to_str().ok()?;
    (tag.starts_with('"') && tag.ends_with('"')).then(|| tag.to_owned())
}

/// The first byte's place and the size of the whole, from `Content-Range: bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("Content-Range")?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}
