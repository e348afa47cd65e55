//! One keep-alive connection with at most one request on its way.
//!
//! It does not pipeline, and it does not wait for a full socket: a loopback socket takes a request of some
//! kilobytes at once, and one that does not is counted as lost.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::answer::{self, Answer};

/// Answers of the services measured have some hundred bytes; a longer one is a fault worth seeing.
const LONGEST_ANSWER: usize = 4096;

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8; LONGEST_ANSWER]>,
    filled: usize,
    /// When the request on its way was to be sent.
    intended: Option<Instant>,
}

impl Connection {
    /// Waits at most two seconds for the server to take the connection.
    pub(crate) fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, Duration::from_secs(2))
            .with_context(|| format!("connecting to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Box::new([0; LONGEST_ANSWER]), filled: 0, intended: None })
    }

    /// Whether an answer is awaited.
    pub(crate) fn waits(&self) -> bool {
        self.intended.is_some()
    }

    pub(crate) fn send(&mut self, request: &[u8], intended: Instant) -> Result<()> {
        self.intended = Some(intended);
        let taken = self.stream.write(request)?;
        ensure!(taken == request.len(), "the socket took {taken} of {} bytes", request.len());
        Ok(())
    }

    /// Reads what has come; gives the answer, once it is whole, and when its request was to be sent.
    pub(crate) fn receive(&mut self) -> Result<Option<(Answer, Instant)>> {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(answer) = answer::parse(&self.buffer[..self.filled])? else {
            ensure!(self.filled < LONGEST_ANSWER, "an answer longer than {LONGEST_ANSWER} bytes");
            return Ok(None);
        };
        self.filled = 0;
        let intended = self.intended.take().context("an answer without a request")?;
        Ok(Some((answer, intended)))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
