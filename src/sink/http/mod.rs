//! CloudEvents posted to an HTTP endpoint, signed as Standard Webhooks has it, one request after the other.
//! What makes a repeat harmless: the `id` of each event, which the receiver remembers; a repeated request has
//! its `webhook-id` again.

mod answer;
mod message;

use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::facts::Facts;
use super::{BoxError, DeliverError, Sink};
use crate::clock;
use crate::config::{HttpMode, HttpSink};
use crate::journal::Stored;
use crate::tls;
use answer::Answer;
use message::Message;

/// More than this of an answer is not read, and its connection is not used again.
const MOST_OF_AN_ANSWER: usize = 64 << 10;
/// More than this of an answer is not kept: it is only quoted.
const KEPT_OF_AN_ANSWER: usize = 1 << 10;

/// An endpoint.
pub(super) struct Http {
    url: Url,
    config: HttpSink,
    /// Made with the first request, and anew after a failure: with new connections and new certificates.
    client: Mutex<Option<Client>>,
}

impl Http {
    /// # Errors
    /// When the URL is none to the client. It is not shown.
    pub(super) fn new(config: HttpSink) -> Result<Self, BoxError> {
        let url = Url::parse(config.url.expose()).map_err(|error| format!("`url`: {error}"))?;
        Ok(Self { url, config, client: Mutex::default() })
    }

    async fn client(&self) -> Result<Client, BoxError> {
        let mut kept = self.client.lock().await;
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let limit = self.config.timeout.duration();
        let tls = if self.url.scheme() == "https" {
            let files = self.config.tls.clone();
            timeout(limit, tokio::task::spawn_blocking(move || tls::client_config(&files))).await???
        } else {
            tls::unused()?
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(limit)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(1)
            .user_agent(concat!("readhook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(in_words)?;
        *kept = Some(client.clone());
        Ok(client)
    }

    /// Lets go of the connection, too: nobody knows what is wrong with it.
    async fn drop_client(&self) {
        *self.client.lock().await = None;
    }

    async fn request(&self, method: Method) -> Result<RequestBuilder, BoxError> {
        let request = self.client().await?.request(method, self.url.clone());
        Ok(match &self.config.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        })
    }

    async fn post(&self, message: &Message) -> Answer {
        match self.try_post(message).await {
            Ok(answer) => answer,
            Err(error) => Answer::NotNow(error, None),
        }
    }

    async fn try_post(&self, message: &Message) -> Result<Answer, BoxError> {
        let timestamp = (clock::now().as_millis() / 1000).to_string();
        let mut request = self
            .request(Method::POST)
            .await?
            .header(header::CONTENT_TYPE, message.content_type)
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &timestamp)
            .body(message.body.clone());
        if let Some(signatures) = message.signatures(&self.config.secrets, &timestamp)? {
            request = request.header("webhook-signature", signatures);
        }
        if let Some(traceparent) = &message.traceparent {
            request = request.header("traceparent", traceparent);
        }
        let mut response = request.send().await.map_err(in_words)?;
        let (text, end) = read(&mut response).await;
        if response.status().is_success() {
            // Cut short, it may be from something that broke between the endpoint and us.
            end.map_err(in_words)?;
        }
        let retry_after: Option<&HeaderValue> = response.headers().get(header::RETRY_AFTER);
        Ok(Answer::of(response.status(), retry_after, &text, clock::now().as_millis()))
    }
}

#[async_trait]
impl Sink for Http {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let (facts, rest) = Facts::of(batch);
        let mut width = match self.config.mode {
            HttpMode::Single => 1,
            HttpMode::Batch => facts.len(),
        };
        let mut done = 0;
        while done < facts.len() {
            let end = facts.len().min(done + width);
            let receipts = &batch[done..end];
            let answer = match Message::of(self.config.mode, receipts, &facts[done..end]) {
                Ok(message) => self.post(&message).await,
                Err(error) => Answer::Refused(error),
            };
            match answer {
                Answer::Delivered => done = end,
                // One of them is to blame, or that they are so many: it shows in halves, the first half
                // first.
                Answer::Refused(_) if receipts.len() > 1 => width = receipts.len() / 2,
                Answer::Refused(why) => return Err(DeliverError::reject(done, why)),
                Answer::Gone(why) => return Err(DeliverError::Halt { done, why }),
                Answer::NotNow(why, after) => {
                    self.drop_client().await;
                    return Err(DeliverError::Retry { done, why, after });
                }
            }
        }
        rest
    }

    async fn probe(&self) -> Result<(), BoxError> {
        // Whatever it answers, it is there: few endpoints know this method, and none may tell by it how it
        // takes a POST.
        let answered = match self.request(Method::OPTIONS).await {
            Ok(request) => request.send().await.map(drop).map_err(in_words),
            Err(error) => Err(error),
        };
        if answered.is_err() {
            self.drop_client().await;
        }
        answered
    }
}

/// The beginning of an answer's body, and whether its end was reached, or so much of it that nobody cares.
async fn read(response: &mut Response) -> (Vec<u8>, reqwest::Result<()>) {
    let (mut kept, mut length) = (Vec::new(), 0);
    while length < MOST_OF_AN_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                length += chunk.len();
                kept.extend(chunk.iter().take(KEPT_OF_AN_ANSWER - kept.len()));
            }
            Ok(None) => break,
            Err(error) => return (kept, Err(error)),
        }
    }
    (kept, Ok(()))
}

/// What went wrong, with its causes, and without the URL, which may hold a password.
fn in_words(error: reqwest::Error) -> BoxError {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words.into()
}
