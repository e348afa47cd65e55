//! A connection that is logged in, set up and has the insert prepared. It has no task of its own: whoever
//! waits for an answer moves its bytes meanwhile, so dropping the one drops the other.

use std::future::ready;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{Client, Error, Socket, Statement};

use super::address::Address;
use super::problem::Problem;
use super::rows::Rows;
use super::table::Table;

/// A session at the server.
pub(super) struct Session {
    client: Client,
    connection: Connection,
    insert: Statement,
}

impl Session {
    /// Connects, makes the table if it is missing, and checks it.
    pub(super) async fn open(address: &Address, table: &Table, limit: Duration) -> Result<Self, Problem> {
        let (mut client, mut connection) = address.connect().await?;
        let preparing = async {
            client.batch_execute(&settings(limit)).await?;
            table.prepare(&mut client).await
        };
        let insert = connection.drive(preparing).await?;
        Ok(Self { client, connection, insert })
    }

    /// Inserts these rows, all or none, leaving those that are there already. `Ok` comes after the commit.
    pub(super) async fn insert(&mut self, rows: &Rows, range: Range<usize>) -> Result<(), Problem> {
        let inserting = async {
            self.client.execute_raw(&self.insert, rows.arrays(range)).await?;
            Ok(())
        };
        self.connection.drive(inserting).await
    }

    /// Nothing when the server has hung up since the last batch: better noticed before a new one is sent.
    pub(super) async fn if_it_stands(mut self) -> Option<Self> {
        self.connection.stands().await.then_some(self)
    }
}

/// What must hold for each statement, whatever the server's defaults are.
fn settings(limit: Duration) -> String {
    // A little earlier than we give up ourselves: so the server gives up, too, and says what it was waiting
    // for.
    let limit = (limit.as_millis() * 9 / 10).clamp(1, i32::MAX.cast_unsigned().into());
    // With `off` a commit is answered before it is on disk, with `local` before it is on the standby that the
    // operator asked for. Whatever else is set waits for at least the server's own disk, and perhaps for
    // more.
    format!(
        "SELECT set_config('statement_timeout', '{limit}', false); \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
}

/// The bytes to and from the server; `None` once they have come to an end.
pub(super) struct Connection(Option<Moving>);

type Moving = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Connection {
    pub(super) fn new<T>(connection: tokio_postgres::Connection<Socket, T>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self(Some(Box::pin(connection)))
    }

    /// Does some work, and moves its bytes. Dropped before its end, the connection is of no use any more.
    async fn drive<T>(&mut self, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let mut work = pin!(work);
        let Some(moving) = &mut self.0 else {
            // The client knows by now that nobody answers.
            return work.await;
        };
        let end = tokio::select! {
            biased;
            done = &mut work => return done,
            end = moving => end,
        };
        let why = match end {
            Ok(()) => Problem::Server("the server has closed the connection".to_owned()),
            Err(error) => error.into(),
        };
        // The last that the server said may have arrived with the end, and is a better reason.
        let last = tokio::select! {
            biased;
            done = work => done,
            () = ready(()) => Err(why),
        };
        self.0 = None;
        last
    }

    async fn stands(&mut self) -> bool {
        let Some(moving) = &mut self.0 else {
            return false;
        };
        tokio::select! {
            biased;
            _ = moving => self.0 = None,
            () = ready(()) => {}
        }
        self.0.is_some()
    }
}
