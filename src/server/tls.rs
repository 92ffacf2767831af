//! TLS's handshake on a connection that was accepted.

use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Peer;
use super::connection::{Connection, MarkedStream};
use crate::tls::{ALPN_HTTP_2, LiveTls};

/// The connection as it goes on over TLS. `None` where the handshake failed, or was still going on
/// when the connection was ordered to close.
///
/// TLS lies around the marks and not within them, so that what the client is seen to do, how it is
/// lingered for and how it is reset are the socket's as without TLS.
pub(super) async fn handshake(
    tls: &LiveTls,
    stream: MarkedStream,
    connection: &Connection,
    peer: Peer,
) -> Option<TlsStream<MarkedStream>> {
    let accepting = TlsAcceptor::from(tls.config()).accept(stream).into_fallible();
    match connection.unless_closed(accepting).await? {
        Ok(stream) => Some(stream),
        Err((error, mut stream)) => {
            tls.count_failure();
            tracing::debug!(%error, peer = %peer.ip(), "a TLS handshake failed");
            // Lingers, lest a reset overtake the alert that tells the client why.
            connection.unless_closed(stream.shutdown()).await;
            None
        }
    }
}

/// Whether the client chose HTTP/2. Over TLS nothing else says so (RFC 9113 §3.2): who chose
/// nothing speaks HTTP/1.1.
pub(super) fn is_http_2(stream: &TlsStream<MarkedStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP_2)
}
