//! `--host` and `--port` → an address that is free, and where to reach it from here.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::bail;
use ml_cli::exit::usage;

/// How many ports after the wanted one are tried for the message.
const NEXT_PORTS: u16 = 50;
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where TensorBoard is to listen.
#[derive(Debug)]
pub struct Address {
    listen: SocketAddr,
    host: String,
}

impl Address {
    /// Checks that `port` of `host` is free; chooses one if `port` is 0.
    ///
    /// # Errors
    /// The host is none of this machine's, or the port is in use or may not be used.
    pub fn resolve(host: &str, port: u16) -> anyhow::Result<Address> {
        let found = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next());
        let Some(wanted) = found else {
            return usage(format!(
                "--host {host}: no such address; use 127.0.0.1, 0.0.0.0 or a name of this machine"
            ));
        };
        match TcpListener::bind(wanted).and_then(|listener| listener.local_addr()) {
            Ok(listen) => Ok(Address { listen, host: host.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let is_free = |port: &u16| TcpListener::bind(SocketAddr::new(wanted.ip(), *port)).is_ok();
                let next =
                    (port.saturating_add(1)..=port.saturating_add(NEXT_PORTS)).find(is_free).unwrap_or(0);
                bail!(
                    "port {port} on {host} is in use, perhaps by another TensorBoard; \
                     stop that, or use --port {next} (free), or --port 0 for any free one"
                )
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                bail!(
                    "port {port} on {host} may not be used by this user; use one from 1024 on, such as --port 6006"
                )
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => usage(format!(
                "--host {host}: not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all of its addresses"
            )),
            Err(error) => bail!("cannot listen on {host} port {port}: {error}"),
        }
    }

    /// The port, chosen if it was left to us.
    pub fn port(&self) -> u16 {
        self.listen.port()
    }

    /// For a browser on this machine.
    pub fn url(&self) -> String {
        let host = if self.listen.ip().is_unspecified() {
            "127.0.0.1".to_owned()
        } else if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        format!("http://{host}:{}/", self.port())
    }

    /// Whether a web server answers there.
    pub fn answers(&self) -> bool {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let ask = || -> io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, self.port()), ANSWER_WITHIN)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut start = [0; 5];
            stream.read_exact(&mut start)?;
            Ok(&start == b"HTTP/")
        };
        ask().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error_that_names_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Address::resolve("127.0.0.1", port).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} on 127.0.0.1 is in use")), "{error}");
        let named = error.split("use --port ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(Address::resolve("127.0.0.1", named.parse().unwrap()).is_ok(), "{error}");
    }

    #[test]
    fn port_0_is_any_free_port_and_0_0_0_0_is_reached_here() {
        let address = Address::resolve("0.0.0.0", 0).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(address.url(), format!("http://127.0.0.1:{}/", address.port()));
        assert!(!address.answers());
    }

    #[test]
    fn a_host_that_is_not_this_machine_is_refused() {
        // Kept for documentation (RFC 5737): no machine has it.
        let error = Address::resolve("192.0.2.1", 6006).unwrap_err().to_string();
        assert!(error.contains("--host 192.0.2.1"), "{error}");
    }
}
