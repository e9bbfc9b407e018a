//! TLS 1.3 between an endpoint that has a device and an agent on a server that wants it.
//!
//! Each side has a key of its own and knows the other's by its pin, the SHA-256 of its public key: there is no certificate, no authority
//! and no name to be fooled about (raw public keys, RFC 7250). Nothing older than TLS 1.3 is spoken, a handshake must be done in
//! [`HANDSHAKE`], and a peer that falls silent is found out by the kernel within [`GONE`].
#![forbid(unsafe_code)]

mod carry;
mod key;
mod verify;

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
};

pub use key::{Key, KeyError, Pin};
use verify::Pinned;

/// How long a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// After so long without a sign of life a connection ends. (Keys are let go of much sooner, by the agent.)
pub const GONE: Duration = Duration::from_secs(12);

/// A connection that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The network.
    #[error("the connection failed")]
    Socket(#[from] io::Error),
    /// The peer does not speak TLS 1.3 as it must.
    #[error("the peer does not speak TLS 1.3 with raw public keys, as it must")]
    Refused(#[from] rustls::Error),
    /// The peer wants another key than this side's, whose pin this is.
    #[error("the peer does not know this side's key; it must be told `--pin {0}`")]
    Unknown(Pin),
    /// The peer's key is not the pinned one.
    #[error("the peer's key is {0}; if that is right, pin it, and if not, someone is in between")]
    WrongPin(Pin),
    /// The handshake took too long.
    #[error("the peer did not finish its handshake within {HANDSHAKE:?}")]
    Late,
    /// The peer closed in the middle.
    #[error("the peer hung up in the middle")]
    CutOff,
}

/// A connection on which both sides have shown their keys.
#[derive(Debug)]
pub struct Link {
    tls: Connection,
    tcp: TcpStream,
    own: Pin,
}

impl Link {
    /// Connects on `tcp`, as the side that has the device.
    ///
    /// # Errors
    /// When the peer is not the pinned one, or does not answer in time.
    pub fn connect(tcp: TcpStream, key: &Key, peer: Pin) -> Result<Self, TlsError> {
        let provider = provider();
        let pinned = Arc::new(Pinned::new(peer, &provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pinned.clone())
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                certified(key)?,
            )));
        config.resumption = rustls::client::Resumption::disabled();
        // The name is in no key and nobody looks at it.
        let name = ServerName::try_from("usb.invalid").map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::new(config), name)?;
        Self::shake(Connection::Client(tls), tcp, key.pin(), &pinned)
    }

    /// Accepts on `tcp`, as the side whose desktop gets the device.
    ///
    /// # Errors
    /// When the peer is not the pinned one, or does not ask in time.
    pub fn accept(tcp: TcpStream, key: &Key, peer: Pin) -> Result<Self, TlsError> {
        let provider = provider();
        let pinned = Arc::new(Pinned::new(peer, &provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(pinned.clone())
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(
                key,
            )?)));
        config.send_tls13_tickets = 0;
        let tls = ServerConnection::new(Arc::new(config))?;
        Self::shake(Connection::Server(tls), tcp, key.pin(), &pinned)
    }

    fn shake(tls: Connection, tcp: TcpStream, own: Pin, pinned: &Pinned) -> Result<Self, TlsError> {
        prepare(&tcp)?;
        let mut link = Self { tls, tcp, own };
        match carry::shake(&mut link.tls, &link.tcp) {
            Ok(()) => Ok(link),
            Err(error) => Err(match pinned.stranger() {
                Some(stranger) => TlsError::WrongPin(stranger),
                None => link.told(error),
            }),
        }
    }

    /// What an alert of the peer's means. In TLS 1.3 a client may learn only after its handshake that it was refused.
    fn told(&self, error: TlsError) -> TlsError {
        match error {
            TlsError::Refused(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) => {
                TlsError::Unknown(self.own)
            }
            other => other,
        }
    }

    /// Carries bytes both ways between the peer and `plain` until either side ends.
    ///
    /// # Errors
    /// When the connection fails, or the peer breaks TLS. In any case `plain` is closed.
    pub fn carry(mut self, plain: UnixStream) -> Result<(), TlsError> {
        let carried = carry::carry(&mut self.tls, &self.tcp, &plain);
        carried.map_err(|error| self.told(error))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certified(key: &Key) -> Result<Arc<CertifiedKey>, TlsError> {
    let signing = ring::sign::any_eddsa_type(&key.pkcs8())?;
    Ok(Arc::new(CertifiedKey::new(
        vec![key.public().to_vec().into()],
        signing,
    )))
}

/// Reports leave at once; a peer that is gone is noticed; nothing waits for the network but `poll`.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    tcp.set_nodelay(true)?;
    tcp.set_nonblocking(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, Duration::from_secs(5))?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(2))?;
    sockopt::set_tcp_keepcnt(tcp, 3)?;
    let milliseconds = u32::try_from(GONE.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(tcp, milliseconds)?;
    Ok(())
}

#[cfg(test)]
mod tests;
