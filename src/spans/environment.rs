//! What the environment says about traces, in OpenTelemetry's own variables,
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>. Samplers, limits, headers and names
//! are read by OpenTelemetry's libraries; here stands what those leave open.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::TlsFiles;

/// A setting that cannot be followed.
pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;

/// How to reach a collector.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "such a build reaches none"))]
#[derive(Debug)]
pub(super) struct Settings {
    /// Whether TLS is spoken.
    pub(super) encrypted: bool,
    pub(super) tls: TlsFiles,
    /// For one request.
    pub(super) timeout: Duration,
}

/// `None` when no traces are asked for.
///
/// # Errors
/// When they are, in a way that readhook does not know. No value is shown but the words that were not understood.
pub(super) fn wanted(read: impl Fn(&str) -> Option<String>) -> Result<Option<Settings>, Error> {
    // An empty variable counts as none, says the specification.
    let variable = |name: &str| read(name).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
    let of_traces = |name: &str| {
        let own = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
        own.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    };
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let Some(endpoint) = of_traces("ENDPOINT") else { return Ok(None) };
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => return Err(format!("OTEL_TRACES_EXPORTER: `otlp` or `none`, not `{other}`").into()),
    }
    match of_traces("PROTOCOL").as_deref() {
        None | Some("http/protobuf") => {}
        Some(other) => {
            let problem = format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL: `http/protobuf`, not `{other}`; most collectors take it on port 4318"
            );
            return Err(problem.into());
        }
    }
    let timeout = match of_traces("TIMEOUT") {
        None => 10_000,
        Some(text) => text.parse().map_err(|_| "OTEL_EXPORTER_OTLP_TIMEOUT: milliseconds")?,
    };
    let file = |name| of_traces(name).map(PathBuf::from);
    Ok(Some(Settings {
        encrypted: endpoint.to_ascii_lowercase().starts_with("https:"),
        tls: TlsFiles {
            ca_file: file("CERTIFICATE"),
            client_cert_file: file("CLIENT_CERTIFICATE"),
            client_key_file: file("CLIENT_KEY"),
        },
        timeout: Duration::from_millis(timeout),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    fn with(variables: &[(&str, &str)]) -> Result<Option<Settings>, Error> {
        wanted(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_an_endpoint_or_by_order_there_are_none() {
        for variables in [
            [].as_slice(),
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:4318"), ("OTEL_SERVICE_NAME", "x")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "True")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(with(variables).unwrap().is_none(), "{variables:?}");
        }
    }

    #[test]
    fn what_is_for_traces_goes_before_what_is_for_all() {
        let settings = with(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "HTTPS://collector.example/v1/traces"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/all.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/traces.pem"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert!(settings.encrypted);
        assert_eq!(settings.timeout, Duration::from_millis(2_500));
        assert_eq!(settings.tls.ca_file, Some("/traces.pem".into()));
        let plain = with(&[ENDPOINT, ("OTEL_SDK_DISABLED", "yes")]).unwrap().unwrap();
        assert!(!plain.encrypted);
        assert_eq!(plain.timeout, Duration::from_secs(10));
    }

    #[test]
    fn what_it_cannot_do_it_says() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ] {
            let error = with(&[ENDPOINT, (name, value)]).unwrap_err().to_string();
            assert!(error.starts_with("OTEL_"), "{error}");
        }
    }
}
