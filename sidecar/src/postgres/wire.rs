//! One session spoken by ourselves: start-up, authentication, and messages in and out.
//!
//! Reading is cancel-safe: a partial message stays in the buffer. A message's body is a `Bytes` slice of what was read, so values
//! taken from it are never copied.

use bytes::{Buf, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256, SCRAM_SHA_256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::conninfo::ConnInfo;
use super::sql::server_error;
use super::transport::{self, Stream};
use crate::error::{Error, Result};

/// Session settings under which every value is read and written, so that its text form is exact and the same on both sides.
/// The search path decides whether `regclass` and its like are written with their schema, and where they are looked up.
pub const SESSION_SETTINGS: [(&str, &str); 7] = [
    ("search_path", "pg_catalog"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];

/// Longest message accepted: PostgreSQL itself never sends more than 1 GiB.
const MAX_MESSAGE: usize = 1 << 30;
const READ_SIZE: usize = 64 << 10;

/// A message of the server: its type byte and body.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The protocol's message type.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// A session after authentication. Reader and writer can be used at the same time.
pub struct Wire {
    /// Messages in.
    pub reader: Reader,
    /// Messages out.
    pub writer: Writer,
    /// The server process that serves us.
    pub backend_pid: i32,
}

/// The receiving side.
pub struct Reader {
    half: ReadHalf<Stream>,
    buffer: BytesMut,
}

/// The sending side: messages are gathered in `buffer` until `flush`.
pub struct Writer {
    half: WriteHalf<Stream>,
    /// Messages not sent yet.
    pub buffer: BytesMut,
}

/// What one statement answered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its columns.
    pub fields: Vec<Field>,
    /// Its rows, in text form.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Of which table it is, when it is just that table's column; else 0.
    pub table: u32,
    /// `attnum` there.
    pub number: i16,
    /// Its type.
    pub type_oid: u32,
}

/// What kind of session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Statements.
    Sql,
    /// Logical replication (also takes simple queries).
    Replication,
}

impl Wire {
    /// Connects, authenticates and waits until the server is ready.
    pub async fn connect(info: &ConnInfo, purpose: Purpose) -> Result<Self> {
        let stream = transport::connect(info).await?;
        let (read, write) = tokio::io::split(stream);
        let mut wire = Self {
            reader: Reader { half: read, buffer: BytesMut::with_capacity(READ_SIZE) },
            writer: Writer { half: write, buffer: BytesMut::new() },
            backend_pid: 0,
        };
        wire.start(info, purpose)
            .await
            .map_err(|error| error.context(format_args!("cannot connect to {info}")))?;
        Ok(wire)
    }

    async fn start(&mut self, info: &ConnInfo, purpose: Purpose) -> Result<()> {
        let mut parameters = vec![("user", info.user.as_str()), ("database", info.dbname.as_str())];
        parameters.extend(SESSION_SETTINGS);
        if purpose == Purpose::Replication {
            parameters.push(("replication", "database"));
        }
        if !info.parameters.iter().any(|(key, _)| key == "application_name") {
            parameters.push(("application_name", "pgstream"));
        }
        parameters.extend(info.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        frontend::startup_message(parameters, &mut self.writer.buffer).map_err(unencodable)?;
        self.writer.flush().await?;
        self.authenticate(info).await?;
        loop {
            match self.receive().await? {
                Message::BackendKeyData(body) => self.backend_pid = body.process_id(),
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    async fn authenticate(&mut self, info: &ConnInfo) -> Result<()> {
        loop {
            match self.receive().await? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => {
                    let password = password(info)?.to_owned();
                    self.send(|out| frontend::password_message(password.as_bytes(), out)).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(info.user.as_bytes(), password(info)?.as_bytes(), body.salt());
                    self.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
                }
                Message::AuthenticationSasl(body) => {
                    let offered: Vec<String> =
                        body.mechanisms().map(|name| Ok(name.to_owned())).collect().map_err(unreadable)?;
                    if !offered.iter().any(|name| name == SCRAM_SHA_256) {
                        return Err(Error::fatal(
                            "the server offers no authentication method we speak (SCRAM-SHA-256)",
                        ));
                    }
                    self.scram(password(info)?.to_owned()).await?;
                }
                _ => {
                    return Err(Error::fatal("the server asks for an authentication method we do not speak")
                        .hint("use trust, password, md5 or scram-sha-256 for this login in pg_hba.conf"))
                }
            }
        }
    }

    async fn scram(&mut self, password: String) -> Result<()> {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let first = scram.message().to_vec();
        self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, &first, out)).await?;
        let Message::AuthenticationSaslContinue(body) = self.receive().await? else {
            return Err(out_of_order());
        };
        scram.update(body.data()).map_err(unreadable)?;
        let answer = scram.message().to_vec();
        self.send(|out| frontend::sasl_response(&answer, out)).await?;
        let Message::AuthenticationSaslFinal(body) = self.receive().await? else {
            return Err(out_of_order());
        };
        scram.finish(body.data()).map_err(|error| {
            Error::fatal("the server could not prove that it knows the password").because(error)
        })
    }

    async fn send(&mut self, encode: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<()> {
        encode(&mut self.writer.buffer).map_err(unencodable)?;
        self.writer.flush().await
    }

    /// The next message, parsed; an error of the server becomes an `Err`, notices are logged.
    async fn receive(&mut self) -> Result<Message> {
        loop {
            let frame = self.reader.next().await?;
            match parse(frame)? {
                Message::NoticeResponse(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// Runs one string of SQL by the simple protocol. Returns the text rows of all its results.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        Ok(self.answers(sql).await?.into_iter().flat_map(|answer| answer.rows).collect())
    }

    /// Runs one string of SQL by the simple protocol. Returns an answer for each statement that gives rows.
    pub async fn answers(&mut self, sql: &str) -> Result<Vec<Answer>> {
        self.send(|out| frontend::query(sql, out)).await?;
        let (mut answers, mut failed) = (Vec::<Answer>::new(), None);
        loop {
            let frame = self.reader.next().await?;
            match frame.tag {
                b'Z' => return failed.map_or(Ok(answers), Err),
                b'E' => failed = Some(server_message(&frame)),
                b'T' => answers.push(Answer { fields: fields(frame)?, rows: Vec::new() }),
                b'D' => {
                    let row = data_row(frame)?;
                    // A replication command may send rows it did not describe.
                    if answers.is_empty() {
                        answers.push(Answer::default());
                    }
                    if let Some(answer) = answers.last_mut() {
                        answer.rows.push(row);
                    }
                }
                _ => {}
            }
        }
    }

    /// Says goodbye; errors no longer matter.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.writer.buffer);
        let _ = self.writer.flush().await;
        let _ = self.writer.half.shutdown().await;
    }
}

impl Reader {
    /// The next message, read from the socket if the buffer holds no whole one. Cancel-safe.
    pub async fn next(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next message already received, without waiting.
    pub fn buffered(&mut self) -> Result<Option<Frame>> {
        let Some((&tag, rest)) = self.buffer.split_first() else { return Ok(None) };
        let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(4..=MAX_MESSAGE).contains(&length) {
            return Err(Error::fatal("the server sent a message of impossible length"));
        }
        if self.buffer.len() < length + 1 {
            self.buffer.reserve(length + 1 - self.buffer.len());
            return Ok(None);
        }
        let mut body = self.buffer.split_to(length + 1).freeze();
        body.advance(5);
        Ok(Some(Frame { tag, body }))
    }

    /// What has been received of CopyData, whole messages with their headers or parts of one, in one piece; empty when there is none. `left`
    /// is what is still to come of the last message.
    pub fn copy_data(&mut self, left: &mut usize) -> Result<Bytes> {
        let mut end = 0;
        loop {
            let rest = self.buffer.len() - end;
            let part = rest.min(*left);
            end += part;
            *left -= part;
            let Some((&tag, header)) = self.buffer[end..].split_first() else { break };
            let Some(length) = header.first_chunk::<4>() else { break };
            if tag != b'd' {
                break;
            }
            let length = u32::from_be_bytes(*length) as usize;
            if !(4..=MAX_MESSAGE).contains(&length) {
                return Err(Error::fatal("the server sent a message of impossible length"));
            }
            *left = length + 1;
        }
        Ok(self.buffer.split_to(end).freeze())
    }

    /// Whether a message that is not CopyData comes next.
    pub fn has_other(&self) -> bool {
        self.buffer.first().is_some_and(|tag| *tag != b'd')
    }

    /// Reads once from the socket. Cancel-safe.
    pub async fn fill(&mut self) -> Result<()> {
        if self.buffer.capacity() - self.buffer.len() < READ_SIZE / 4 {
            self.buffer.reserve(READ_SIZE);
        }
        match self.half.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Error::transient("the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(Error::transient(format!("connection lost: {error}")).because(error)),
        }
    }
}

impl Writer {
    /// Sends those bytes as they are, past the buffer.
    pub async fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        let lost =
            |error: std::io::Error| Error::transient(format!("connection lost: {error}")).because(error);
        self.half.write_all(bytes).await.map_err(lost)
    }

    /// Sends what is in the buffer.
    pub async fn flush(&mut self) -> Result<()> {
        let lost =
            |error: std::io::Error| Error::transient(format!("connection lost: {error}")).because(error);
        self.half.write_all_buf(&mut self.buffer).await.map_err(lost)?;
        self.half.flush().await.map_err(lost)
    }
}

fn password(info: &ConnInfo) -> Result<&str> {
    match &info.password {
        Some(secret) => Ok(secret.reveal()),
        None => Err(Error::fatal("the server asks for a password and the URL has none").with_code("28P01")),
    }
}

/// Parses an ordinary message; an error of the server becomes an `Err`.
fn parse(frame: Frame) -> Result<Message> {
    if frame.tag == b'E' {
        return Err(server_message(&frame));
    }
    let mut whole = BytesMut::with_capacity(frame.body.len() + 5);
    whole.extend_from_slice(&[frame.tag]);
    whole.extend_from_slice(&(frame.body.len() as u32 + 4).to_be_bytes());
    whole.extend_from_slice(&frame.body);
    Message::parse(&mut whole).map_err(unreadable)?.ok_or_else(out_of_order)
}

/// The fields of an `ErrorResponse` or `NoticeResponse`.
#[derive(Debug, Default, Clone)]
pub struct ServerMessage {
    /// `ERROR`, `WARNING`, ...
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The primary text.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// The server's advice.
    pub hint: Option<String>,
    /// The table it is about.
    pub table: Option<String>,
    /// The constraint it is about.
    pub constraint: Option<String>,
}

impl ServerMessage {
    /// Reads the fields out of a message body.
    pub fn read(body: &Bytes) -> Self {
        let mut found = Self::default();
        for field in body.split(|&byte| byte == 0) {
            let Some((&kind, text)) = field.split_first() else { break };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'V' => found.severity = text,
                b'C' => found.code = text,
                b'M' => found.message = text,
                b'D' => found.detail = Some(text),
                b'H' => found.hint = Some(text),
                b't' => found.table = Some(text),
                b'n' => found.constraint = Some(text),
                _ => {}
            }
        }
        found
    }
}

/// The error a server's `ErrorResponse` stands for.
pub fn server_message(frame: &Frame) -> Error {
    let message = ServerMessage::read(&frame.body);
    server_error(&message.code, &message.message, message.detail.as_deref(), message.hint.as_deref())
}

/// The columns a `RowDescription` tells of.
fn fields(frame: Frame) -> Result<Vec<Field>> {
    let mut body = frame.body;
    let mut read = || {
        let count = body.try_get_u16().ok()?;
        (0..count)
            .map(|_| {
                let end = memchr::memchr(0, &body)?;
                let name = String::from_utf8_lossy(&body.split_to(end)).into_owned();
                body.advance(1);
                let (table, number) = (body.try_get_u32().ok()?, body.try_get_i16().ok()?);
                let type_oid = body.try_get_u32().ok()?;
                // length, modifier, format
                body.try_get_u64().ok()?;
                Some(Field { name, table, number, type_oid })
            })
            .collect::<Option<Vec<Field>>>()
    };
    read().ok_or_else(out_of_order)
}

/// The columns of a `DataRow` in text form.
pub fn data_row(frame: Frame) -> Result<Vec<Option<String>>> {
    let mut body = frame.body;
    let count = body.try_get_u16().map_err(|_| out_of_order())?;
    let mut row = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = body.try_get_i32().map_err(|_| out_of_order())?;
        row.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) if length <= body.len() => {
                Some(String::from_utf8_lossy(&body.split_to(length)).into_owned())
            }
            Ok(_) => return Err(out_of_order()),
        });
    }
    Ok(row)
}

fn unencodable(error: std::io::Error) -> Error {
    Error::fatal(format!("cannot be sent to the server: {error}")).because(error)
}

fn unreadable(error: std::io::Error) -> Error {
    Error::fatal(format!("cannot understand the server: {error}")).because(error)
}

/// The server sent what the protocol does not allow here.
pub fn out_of_order() -> Error {
    Error::fatal("the server sent a message that does not belong here")
        .hint("check that a PostgreSQL server answers there")
}
