//! The engine's HTTP API: requests, and what their failures mean.
//!
//! Both engines speak the same of what is used here, so requests are made by path and body.

use std::time::Duration;

use opensearch::auth::{ClientCertificate, Credentials};
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::headers::{HeaderMap, HeaderValue, AUTHORIZATION, CONTENT_TYPE};
use opensearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use opensearch::http::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::{json, Value as Json};

use crate::config::plan::{SearchCluster, SearchLogin, SearchTls};
use crate::error::{Error, Kind, Result};
use crate::retry;

/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(60);
const NO_QUERY: Option<&()> = None;

/// A connection pool to the engine.
#[derive(Debug, Clone)]
pub(super) struct Client {
    transport: Transport,
    /// Without login, for what is said.
    address: String,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// Reads the certificates; connects with the first request.
    ///
    /// # Errors
    /// Fatal when a file cannot be read or is not what it should be.
    pub(super) fn new(cluster: &SearchCluster) -> Result<Self> {
        let url = Url::parse(&cluster.url).map_err(|error| Error::fatal(format!("the URL: {error}")))?;
        let address = cluster.url.clone();
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .disable_proxy()
            .timeout(TIMEOUT)
            .headers(login(cluster.login.as_ref())?);
        if let Some(tls) = &cluster.tls {
            builder = secure(builder, tls)?;
        }
        let failed = |error| Error::fatal(format!("{address}: TLS cannot be set up: {error}"));
        let transport = builder.build().map_err(failed)?;
        Ok(Self { transport, address })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Transient when there is no answer; fatal for a login or a certificate that is refused.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer> {
        let mut headers = HeaderMap::new();
        let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let sent = self.transport.send(method, path, headers, NO_QUERY, body, None).await;
        let answer = sent.map_err(|error| self.unreachable(&error))?;
        let status = answer.status_code().as_u16();
        let body = answer.text().await.map_err(|error| self.unreachable(&error))?.into_bytes();
        match status {
            401 => Err(Error::fatal(format!("{}: the login is refused", self.address))
                .hint("check user and password, or the API key")),
            _ => Ok(Answer { status, body }),
        }
    }

    /// Sends a request of JSON.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(super) async fn send_json(&self, method: Method, path: &str, body: &Json) -> Result<Answer> {
        self.send(method, path, Some(body.to_string().into_bytes())).await
    }

    /// Sends a request of JSON and takes the answer apart; `None` when what it is about is not there.
    ///
    /// # Errors
    /// As [`Client::send`]; otherwise as the engine says it.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Option<Json>> {
        let answer = self.send(method, path, body.map(|body| body.to_string().into_bytes())).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer =
            answer.accepted().map_err(|error| error.context(format_args!("{}/{path}", self.address)))?;
        answer.read().map(Some).map_err(|error| error.context(&self.address))
    }

    /// Makes an index of our own, if it is not there.
    ///
    /// # Errors
    /// As [`Client::send`]; otherwise as the engine says it.
    pub(super) async fn ensure(&self, index: &str, properties: &Json) -> Result<()> {
        if self.send(Method::Head, index, None).await?.status != 404 {
            return Ok(());
        }
        let body = json!({ "settings": { "number_of_shards": 1, "number_of_replicas": 1 },
            "mappings": { "dynamic": "strict", "properties": properties } });
        let made = self.send_json(Method::Put, index, &body).await?;
        // Others share it, and may be quicker.
        if made.status >= 300 && !String::from_utf8_lossy(&made.body).contains("already_exists") {
            return Err(made.refusal().context(format_args!("the index {index} cannot be made")));
        }
        Ok(())
    }

    fn unreachable(&self, error: &opensearch::Error) -> Error {
        let text = chain(error);
        let refused = ["certificate", "UnknownIssuer", "InvalidCertificate", "handshake"];
        if refused.iter().any(|word| text.contains(word)) {
            return Error::fatal(format!("{}: {text}", self.address))
                .hint("check tls.ca_cert, the names in the server's certificate, and tls.client_cert");
        }
        Error::transient(format!("{}: {text}", self.address)).with_code(retry::NO_BROKER)
    }
}

impl Answer {
    /// What it holds.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::transient(format!("an answer that is not understood: {error}")))
    }

    /// Itself, unless the request was refused.
    pub(super) fn accepted(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            Ok(self)
        } else {
            Err(self.refusal())
        }
    }

    /// Why a request was refused.
    pub(super) fn refusal(&self) -> Error {
        let json: Json = self.read().unwrap_or_default();
        let error = &json["error"];
        let reason = error["root_cause"][0]["reason"].as_str().or(error["reason"].as_str());
        let text = match (error["type"].as_str(), reason.or(error.as_str())) {
            (_, Some(reason)) => reason.to_owned(),
            (Some(kind), None) => kind.to_owned(),
            (None, None) => String::from_utf8_lossy(&self.body).chars().take(200).collect(),
        };
        let blocked = text.contains("blocked") || error["type"] == "cluster_block_exception";
        let error = Error::transient(format!("{} {text}", self.status));
        match self.status {
            // An index that is read-only, by hand or since the disk is full, can be written again.
            403 if blocked => error,
            403 => error.into_kind(Kind::Fatal).hint("grant this login the rights that are named"),
            408 | 429 | 500.. => error,
            _ => error.into_kind(Kind::Fatal),
        }
    }
}

/// An error with all its causes, which say more than itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn login(login: Option<&SearchLogin>) -> Result<HeaderMap> {
    use base64::engine::general_purpose::STANDARD;
    use base64::Engine as _;
    let mut headers = HeaderMap::new();
    let value = match login {
        None => return Ok(headers),
        Some(SearchLogin::Basic { user, password }) => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
        }
        Some(SearchLogin::ApiKey(key)) => format!("ApiKey {}", key.reveal()),
    };
    let mut value =
        HeaderValue::from_str(&value).map_err(|_| Error::fatal("the login has characters no header can"))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

fn secure(builder: TransportBuilder, tls: &SearchTls) -> Result<TransportBuilder> {
    let mut builder = builder;
    if tls.insecure {
        builder = builder.cert_validation(CertificateValidation::None);
    } else if let Some(file) = &tls.ca_cert {
        let bad = |error| Error::fatal(format!("{file} is not a certificate in PEM form: {error}"));
        let certificate = Certificate::from_pem(&read(file)?).map_err(bad)?;
        builder = builder.cert_validation(CertificateValidation::Full(certificate));
    }
    if let Some((certificate, key)) = &tls.client {
        let pem = [read(certificate)?, read(key)?].concat();
        builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem)));
    }
    Ok(builder)
}

fn read(file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Error::fatal(format!("{file} cannot be read: {error}")))
}
