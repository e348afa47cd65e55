//! A client that sends exactly the bytes it is given, on a connection that it can go on using, and reads one
//! answer after another.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::house::PATIENCE;
use crate::vendor::Callback;

/// A connection, in clear or not.
pub(crate) struct Raw<S = TcpStream>(BufReader<S>);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As it came, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn says(&self) -> (u16, &str) {
        (self.status, &self.body)
    }
}

impl Raw {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// The connection itself, for who wants to see a write fail or stall.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// On a connection that is there already.
    pub(crate) fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends bytes. That the other side has closed already shows in what comes back, or in that nothing does.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(PATIENCE, self.0.get_mut().write_all(bytes.as_ref())).await;
        let _closed = sent.expect("the bytes should be taken");
    }

    /// The next answer; `None` when the connection ends before it.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(PATIENCE, self.next()).await.expect("an answer, or an end")
    }

    async fn next(&mut self) -> Option<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            self.0.read_line(&mut head).await.ok().filter(|read| *read > 0)?;
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).await.ok()?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head, body: String::from_utf8(body).unwrap() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(&request).await;
        let answer = self.answer().await;
        answer.unwrap_or_else(|| {
            let line = request.as_ref().split(|byte| *byte == b'\r').next().unwrap_or_default();
            panic!("no answer, but the end, to {} ...", String::from_utf8_lossy(line))
        })
    }

    /// Waits until the other side has closed, and wants nothing to come before.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(self.answer().await, None, "the connection should end without a further answer");
    }
}

/// A whole request, to the byte.
pub(crate) fn request(target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\n{fields}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A callback as a request.
pub(crate) fn posted(callback: &Callback) -> Vec<u8> {
    request(&callback.target, "", callback.body.as_bytes())
}

/// The callback with spaces behind its body, which change nothing but its size.
pub(crate) fn padded(callback: &Callback, size: usize) -> Vec<u8> {
    let mut body = callback.body.clone().into_bytes();
    // A form has no room for spaces; one more field does it.
    let is_form = !body.starts_with(b"{");
    if is_form {
        body.extend_from_slice(b"&extra=");
    }
    body.resize(size, if is_form { b'x' } else { b' ' });
    request(&callback.target, "", &body)
}
