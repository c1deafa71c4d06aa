//! A replication connection spoken by hand: what a walsender sends, message by message, in its order.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::{Database, SOON};

/// A replication connection to a database. It ends with the value.
pub struct Walsender {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of it was given out.
    given: usize,
}

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A message of the output plugin, with the position the server gives it.
    Message(u64, Vec<u8>),
    /// The server has sent everything before a position, and may want an answer.
    Keepalive(u64, bool),
}

impl Walsender {
    /// Connects over TCP, to a server that trusts.
    pub fn connect(database: &Database) -> Walsender {
        let stream = TcpStream::connect(("127.0.0.1", database.server.port)).expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        let mut walsender = Walsender { stream, received: Vec::new(), given: 0 };
        let mut body = 196_608_u32.to_be_bytes().to_vec(); // protocol 3.0
        for text in ["user", "postgres", "database", &database.name, "replication", "database", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        walsender.write(None, &body);
        walsender.until_ready().expect("a session");
        walsender
    }

    /// Runs a statement; the first value it answers with, or the message of its error.
    pub fn query(&mut self, sql: &str) -> Result<String, String> {
        self.write(Some(b'Q'), &[sql.as_bytes(), &[0]].concat());
        self.until_ready()
    }

    /// Begins a stream of pgoutput from where the slot stands.
    pub fn start(&mut self, slot: &str, publication: &str) {
        let options = format!("proto_version '1', publication_names '{publication}', messages 'true'");
        let command = format!("START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0 ({options})\0");
        self.write(Some(b'Q'), command.as_bytes());
        let (kind, body) = self.message(SOON).expect("an answer");
        assert_eq!(kind, b'W', "{}", String::from_utf8_lossy(&body));
    }

    /// The next part of the stream; `None` when none came in that time.
    pub fn next(&mut self, patience: Duration) -> Option<Sent> {
        let (kind, body) = self.message(patience)?;
        assert_eq!(kind, b'd', "{}", String::from_utf8_lossy(&body));
        let position = u64::from_be_bytes(body[1..9].try_into().expect("eight bytes"));
        Some(match body[0] {
            b'w' => Sent::Message(position, body[25..].to_vec()),
            _ => Sent::Keepalive(position, body[17] == 1),
        })
    }

    /// Tells the server that everything before a position is safe.
    pub fn confirm(&mut self, position: u64) {
        let position = position.to_be_bytes();
        self.write(Some(b'd'), &[&b"r"[..], &position, &position, &position, &[0; 9]].concat());
    }

    /// The first value until the server waits for a command.
    fn until_ready(&mut self) -> Result<String, String> {
        let mut answer = Ok(String::new());
        loop {
            let (kind, body) = self.message(SOON).expect("an answer");
            match kind {
                b'Z' => return answer,
                b'D' => answer = Ok(String::from_utf8_lossy(&body[6..]).into_owned()),
                b'E' => answer = Err(String::from_utf8_lossy(&body).replace('\0', "\n")),
                _ => {}
            }
        }
    }

    fn write(&mut self, kind: Option<u8>, body: &[u8]) {
        let mut message = Vec::from_iter(kind);
        message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).expect("send to the server");
    }

    fn message(&mut self, patience: Duration) -> Option<(u8, Vec<u8>)> {
        self.stream.set_read_timeout(Some(patience)).expect("set a timeout");
        loop {
            let rest = &self.received[self.given..];
            if let Some(header) = rest.first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
                if let Some(body) = rest.get(5..=length) {
                    self.given += length + 1;
                    return Some((header[0], body.to_vec()));
                }
            }
            self.received.drain(..self.given);
            self.given = 0;
            let mut piece = [0; 64 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(length) => self.received.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("read from the server: {error}"),
            }
        }
    }
}
