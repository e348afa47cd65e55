//! The stream: made if it is missing, looked at if it is there, never changed.

use std::time::Duration;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};

use crate::config::NatsSink;
use crate::sink::BoxError;

/// A stream that is there.
pub(super) struct Found {
    config: Config,
    clustered: bool,
}

impl Found {
    fn of(info: &Info) -> Self {
        let clustered = info.cluster.as_ref().is_some_and(|cluster| cluster.name.is_some());
        Self { config: info.config.clone(), clustered }
    }

    /// Whether it takes all that comes on one connection or, from some message on, nothing more. A stream that refuses
    /// when it is full takes the next message when it has room again; in a cluster a leader may be lost and another
    /// elected between two messages.
    pub(super) fn is_in_line(&self) -> bool {
        !self.clustered && self.config.discard == DiscardPolicy::Old
    }
}

/// Makes sure that the stream is there and takes what will be published.
///
/// # Errors
/// They say what an operator can do.
pub(super) async fn ensure(context: &Context, config: &NatsSink) -> Result<Found, BoxError> {
    let found = match get(context, &config.stream).await? {
        Some(found) => found,
        None => match create(context, config).await {
            Ok(created) => created,
            // Another replica may have been faster; the server has several refusals for that.
            Err(refusal) => get(context, &config.stream).await?.ok_or(refusal)?,
        },
    };
    check(&found.config, config)?;
    Ok(found)
}

async fn get(context: &Context, stream: &str) -> Result<Option<Found>, BoxError> {
    match context.get_stream(stream).await {
        Ok(found) => Ok(Some(Found::of(found.cached_info()))),
        Err(error) => {
            if let GetStreamErrorKind::JetStream(refusal) = error.kind()
                && refusal.error_code() == ErrorCode::STREAM_NOT_FOUND
            {
                return Ok(None);
            }
            let advice = "is JetStream on, there and for this account?";
            Err(format!("cannot look at the stream `{stream}` ({advice}): {error}").into())
        }
    }
}

async fn create(context: &Context, config: &NatsSink) -> Result<Found, BoxError> {
    let wanted = Config {
        name: config.stream.clone(),
        description: Some("Read receipts, from readhook".to_owned()),
        subjects: vec![format!("{}.>", config.subject_prefix)],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: config.replicas,
        duplicate_window: dedupe_window(config),
        ..Config::default()
    };
    match context.create_stream(wanted).await {
        Ok(created) => {
            tracing::info!(stream = %config.stream, "made the stream");
            Ok(Found::of(created.cached_info()))
        }
        Err(error) => Err(format!("cannot make the stream `{}`: {error}", config.stream).into()),
    }
}

fn check(found: &Config, config: &NatsSink) -> Result<(), BoxError> {
    let published = format!("{}.*.*.*", config.subject_prefix);
    if !found.subjects.iter().any(|subjects| covers(subjects, &published)) {
        return Err(format!(
            "the stream `{}` has the subjects {:?}, which leave out `{published}`; add `{}.>` to them, or \
             set another `subject_prefix` or `stream`",
            config.stream, found.subjects, config.subject_prefix
        )
        .into());
    }
    if found.no_ack || found.sealed {
        let what = if found.no_ack { "acknowledges nothing (no_ack)" } else { "is sealed" };
        let problem = format!("the stream `{}` {what}; mend that, or set another `stream`", config.stream);
        return Err(problem.into());
    }
    if found.duplicate_window < dedupe_window(config) {
        tracing::warn!(
            stream = %config.stream,
            duplicate_window_seconds = found.duplicate_window.as_secs_f64(),
            dedupe_seconds = config.dedupe_seconds,
            "the stream forgets ids sooner than `dedupe_seconds` says: more repeats can get in"
        );
    }
    Ok(())
}

fn dedupe_window(config: &NatsSink) -> Duration {
    Duration::from_secs(config.dedupe_seconds)
}

/// Whether every subject of the narrower pattern is one of the wider.
fn covers(wider: &str, narrower: &str) -> bool {
    let mut narrower = narrower.split('.');
    for token in wider.split('.') {
        match (token, narrower.next()) {
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            (_, _) => return false,
        }
    }
    narrower.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn patterns_cover_what_they_should() {
        for wider in [">", "a.>", "a.b.>", "a.b.*.*.*", "*.*.>", "*.b.*.*.*", "a.b.*.*.>"] {
            assert!(covers(wider, "a.b.*.*.*"), "{wider}");
        }
        for wider in
            ["a", "a.b", "a.b.*", "a.b.*.*", "a.b.*.*.*.>", "a.b.*.*.*.*", "b.>", "a.b.x.>", "a.bb.>"]
        {
            assert!(!covers(wider, "a.b.*.*.*"), "{wider}");
        }
        assert!(!covers("a.*", "a.>"));
    }
}
