//! A byte stream to a server: TCP or a unix socket, with TLS as `sslmode` asks.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::TlsConnector;

use super::conninfo::{ConnInfo, Ssl, SslMode};
use crate::error::{Error, Result};

/// A connected stream.
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The request that asks a server for TLS: length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Connects to the first host that answers.
///
/// # Errors
/// Transient when no host answers; fatal when TLS is refused, cannot be verified or its files cannot be read.
pub async fn connect(info: &ConnInfo) -> Result<Stream> {
    let mut last = None;
    for (host, port) in &info.hosts {
        match timeout(info.connect_timeout, connect_host(host, *port, &info.ssl)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => {
                last = Some(Error::transient(format!(
                    "{host}:{port} did not answer in {:?}",
                    info.connect_timeout
                )))
            }
        }
    }
    let error = last.unwrap_or_else(|| Error::fatal("no host to connect to"));
    Err(error.context(format_args!("cannot connect to {info}")))
}

async fn connect_host(host: &str, port: u16, ssl: &Ssl) -> Result<Stream> {
    let unreachable = |error: io::Error| {
        Error::transient(error.to_string()).hint("check host, port and that the server runs").because(error)
    };
    if host.starts_with('/') {
        let path = Path::new(host).join(format!(".s.PGSQL.{port}"));
        return Ok(Stream::Unix(UnixStream::connect(path).await.map_err(unreachable)?));
    }
    let mut tcp = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    if ssl.mode == SslMode::Disable {
        return Ok(Stream::Tcp(tcp));
    }
    tcp.write_all(&SSL_REQUEST).await.map_err(unreachable)?;
    match tcp.read_u8().await.map_err(unreachable)? {
        b'S' => Ok(Stream::Tls(Box::new(encrypt(tcp, host, ssl).await?))),
        b'N' if ssl.mode == SslMode::Prefer => Ok(Stream::Tcp(tcp)),
        b'N' => Err(Error::fatal("the server does not offer TLS")
            .hint("use sslmode=disable, or enable ssl on the server")),
        _ => Err(Error::fatal("what answers there is not a PostgreSQL server").hint("check host and port")),
    }
}

async fn encrypt(tcp: TcpStream, host: &str, ssl: &Ssl) -> Result<TlsStream<TcpStream>> {
    let config = Arc::new(client_config(ssl)?);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Error::fatal(format!("{host} cannot be verified by TLS")).because(error))?;
    TlsConnector::from(config).connect(name, tcp).await.map_err(|error| {
        let fatal = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        let made = if fatal { Error::fatal } else { Error::transient };
        made(format!("TLS: {error}"))
            .hint("check sslmode, sslrootcert and the server's certificate")
            .because(error)
    })
}

fn client_config(ssl: &Ssl) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::fatal("TLS is not available").because(error))?;
    let verifier: Arc<dyn ServerCertVerifier> = match ssl.mode {
        SslMode::VerifyFull | SslMode::VerifyCa => {
            let roots = Arc::new(root_certificates(ssl)?);
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| Error::fatal(format!("TLS: {error}")).because(error))?;
            if ssl.mode == SslMode::VerifyFull {
                inner
            } else {
                Arc::new(AuthorityOnly(inner))
            }
        }
        SslMode::Disable | SslMode::Prefer | SslMode::Require => Arc::new(Unverified(provider)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let (Some(cert), Some(key)) = (&ssl.cert, &ssl.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = read_certificates(cert)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| Error::fatal(format!("sslkey {}: {error}", key.display())).because(error))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| Error::fatal(format!("sslcert: {error}")).because(error))
}

fn root_certificates(ssl: &Ssl) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let certificates = match &ssl.root_cert {
        Some(path) => read_certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err(
            Error::fatal("no trusted certificate authority found").hint("name one by sslrootcert=FILE")
        );
    }
    Ok(store)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<std::result::Result<Vec<_>, _>>();
    read().map_err(|error| Error::fatal(format!("certificate {}: {error}", path.display())).because(error))
}

/// `verify-ca`: a trusted authority signed it; the host name does not matter.
#[derive(Debug)]
struct AuthorityOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AuthorityOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// `prefer`, `require`: encryption without knowing with whom, as libpq has it. Signatures are still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
