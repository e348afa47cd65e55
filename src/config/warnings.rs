//! What can be served and is worth a second look: for `serve` at its start and at every reload, and for `check`.

use super::{Config, Secret, SinkKind};

/// A random token of so many characters in base64 holds 128 bits.
const SHORTEST_TOKEN: usize = 22;
/// What Standard Webhooks asks for:
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme>.
const SHORTEST_SIGNING_KEY: usize = 24;

impl Config {
    /// Whether there was a configuration file, and nothing in it. What an editor or a full disk has left behind looks so.
    pub fn is_empty_file(&self) -> bool {
        self.empty_file
    }

    /// Whether no vendor has an app.
    pub fn serves_nobody(&self) -> bool {
        let vendors = &self.vendors;
        vendors.easemob.apps.is_empty()
            && vendors.tencent.apps.is_empty()
            && vendors.openim.apps.is_empty()
            && vendors.rongcloud.apps.is_empty()
    }

    /// What an operator should know of it, a sentence each. Never a value that could be a secret.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if self.serves_nobody() {
            warnings.push("no vendor has an app configured, so every callback is answered 404".to_owned());
        }
        for (name, _) in self.vendors.openim.apps.iter().filter(|(_, app)| app.allow_unauthenticated) {
            warnings.push(format!(
                "vendors.openim.apps.{name}.allow_unauthenticated = true: anybody who reaches this port can make up reads"
            ));
        }
        for (name, _) in self.vendors.tencent.apps.iter().filter(|(_, app)| app.secrets.is_empty()) {
            warnings.push(format!(
                "vendors.tencent.apps.{name} has no callback token: anybody who knows the SdkAppid can make up reads"
            ));
        }
        for (name, app) in &self.vendors.easemob.apps {
            let both =
                app.appkey.split_once('#').is_some_and(|(org, app)| !org.is_empty() && !app.is_empty());
            if !both {
                warnings.push(format!(
                    "vendors.easemob.apps.{name}.appkey is not of the form `org#app`, so no callback will match it"
                ));
            }
        }
        self.white_space(&mut warnings);
        self.short_tokens(&mut warnings);
        let test_only = |secret: &Secret| secret.expose().starts_with("test-only-");
        if self.vendors.secret_lists().iter().any(|(.., secrets)| secrets.iter().any(test_only)) {
            warnings.push(
                "this configuration has test-only secrets that everybody knows; it is for trying things out, not for \
                 production"
                    .to_owned(),
            );
        }
        if self.sinks.is_empty() {
            warnings.push("no sink is configured: receipts stay in the journal".to_owned());
        }
        for (name, sink) in &self.sinks {
            if let SinkKind::Http(http) = &sink.kind
                && http.secrets.iter().any(|secret| secret.expose().len() < SHORTEST_SIGNING_KEY)
            {
                warnings.push(format!(
                    "sinks.{name}.secrets: Standard Webhooks asks for secrets of at least {SHORTEST_SIGNING_KEY} bytes, and one is \
                     shorter; make one with `openssl rand -base64 32`"
                ));
            }
        }
        warnings
    }

    /// White space is easily pasted along, and no vendor signs with it.
    fn white_space(&self, warnings: &mut Vec<String>) {
        let padded = |text: &str| text.trim() != text;
        let vendors = &self.vendors;
        let identities = vendors
            .easemob
            .apps
            .iter()
            .map(|(name, app)| (format!("easemob.apps.{name}.appkey"), &app.appkey));
        let identities = identities
            .chain(
                vendors
                    .tencent
                    .apps
                    .iter()
                    .map(|(name, app)| (format!("tencent.apps.{name}.sdk_app_id"), &app.sdk_app_id)),
            )
            .chain(
                vendors
                    .rongcloud
                    .apps
                    .iter()
                    .map(|(name, app)| (format!("rongcloud.apps.{name}.app_key"), &app.app_key)),
            );
        for (key, _) in identities.filter(|(_, identity)| padded(identity)) {
            warnings
                .push(format!("vendors.{key} begins or ends with white space, so no callback will match it"));
        }
        for (key, secrets) in self.secrets() {
            for (index, _) in secrets.iter().enumerate().filter(|(_, secret)| padded(secret.expose())) {
                warnings.push(format!(
                    "{key}[{index}] begins or ends with white space, which counts as part of it"
                ));
            }
        }
        if self.admin.token.as_ref().is_some_and(|token| padded(token.expose())) {
            warnings
                .push("admin.token begins or ends with white space, which counts as part of it".to_owned());
        }
        for (name, sink) in &self.sinks {
            if let SinkKind::Http(http) = &sink.kind
                && padded(http.url.expose())
            {
                warnings.push(format!("sinks.{name}.url begins or ends with white space"));
            }
        }
    }

    /// What is compared as it comes can be guessed; a signature cannot.
    fn short_tokens(&self, warnings: &mut Vec<String>) {
        let short = |token: &str| token.chars().count() < SHORTEST_TOKEN;
        let advice = "has fewer than 22 characters and could be guessed; take for example 32 random ones";
        if self.admin.token.as_ref().is_some_and(|token| short(token.expose())) {
            warnings.push(format!("admin.token {advice}"));
        }
        for (name, app) in &self.vendors.openim.apps {
            for (index, token) in app.path_tokens.iter().enumerate() {
                if short(token.expose()) {
                    warnings.push(format!("vendors.openim.apps.{name}.path_tokens[{index}] {advice}"));
                }
            }
            for (index, pair) in app.basic_auth.iter().enumerate() {
                if pair.expose().split_once(':').is_some_and(|(_, password)| short(password)) {
                    warnings.push(format!(
                        "the password of vendors.openim.apps.{name}.basic_auth[{index}] {advice}"
                    ));
                }
            }
        }
    }

    /// Every list of secrets by the full name of its setting.
    pub(super) fn secrets(&self) -> Vec<(String, &[Secret])> {
        let vendors = &self.vendors;
        let mut lists: Vec<(String, &[Secret])> = Vec::new();
        for (name, app) in &vendors.easemob.apps {
            lists.push((format!("vendors.easemob.apps.{name}.secrets"), &app.secrets));
        }
        for (name, app) in &vendors.tencent.apps {
            lists.push((format!("vendors.tencent.apps.{name}.secrets"), &app.secrets));
        }
        for (name, app) in &vendors.openim.apps {
            lists.push((format!("vendors.openim.apps.{name}.path_tokens"), &app.path_tokens));
            lists.push((format!("vendors.openim.apps.{name}.basic_auth"), &app.basic_auth));
            lists.push((format!("vendors.openim.apps.{name}.signature_secrets"), &app.signature_secrets));
        }
        for (name, app) in &vendors.rongcloud.apps {
            lists.push((format!("vendors.rongcloud.apps.{name}.secrets"), &app.secrets));
            lists.push((format!("vendors.rongcloud.apps.{name}.relay_secrets"), &app.relay_secrets));
        }
        lists
    }
}
