//! `[vendors.<vendor>.apps.<name>]`: who may call, and how each proves it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::error::Mistakes;
use super::secret::{gather, list};
use super::{Network, PassthroughConfig, Secret};

/// `[vendors]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct VendorsConfig {
    /// Easemob.
    pub easemob: EasemobConfig,
    /// Tencent Cloud Chat.
    pub tencent: TencentConfig,
    /// OpenIM.
    pub openim: OpenImConfig,
    /// RongCloud.
    pub rongcloud: RongCloudConfig,
}

/// `[vendors.easemob]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct EasemobConfig {
    /// From how many of our own non-200 answers within 30 s on everything is answered 200; 0 switches it off.
    pub ban_guard: usize,
    /// Where other callbacks go.
    pub passthrough: Option<PassthroughConfig>,
    /// The apps by name.
    pub apps: BTreeMap<String, EasemobApp>,
}

impl Default for EasemobConfig {
    fn default() -> Self {
        Self { ban_guard: 60, passthrough: None, apps: BTreeMap::new() }
    }
}

/// `[vendors.easemob.apps.<name>]`
#[derive(Debug, Clone, Deserialize)]
pub struct EasemobApp {
    /// `org#app`
    pub appkey: String,
    /// One per callback rule; any may verify.
    #[serde(default, deserialize_with = "list")]
    pub secrets: Vec<Secret>,
    #[serde(default, deserialize_with = "list")]
    secrets_files: Vec<PathBuf>,
}

/// `[vendors.tencent]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TencentConfig {
    /// Where other callbacks go.
    pub passthrough: Option<PassthroughConfig>,
    /// The apps by name.
    pub apps: BTreeMap<String, TencentApp>,
}

/// `[vendors.tencent.apps.<name>]`
#[derive(Debug, Clone, Deserialize)]
pub struct TencentApp {
    /// The SdkAppid.
    pub sdk_app_id: String,
    /// Callback tokens; when there are any, Sign and RequestTime are required.
    #[serde(default, deserialize_with = "list")]
    pub secrets: Vec<Secret>,
    #[serde(default, deserialize_with = "list")]
    secrets_files: Vec<PathBuf>,
}

/// `[vendors.openim]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OpenImConfig {
    /// Where other callbacks go.
    pub passthrough: Option<PassthroughConfig>,
    /// The apps by name.
    pub apps: BTreeMap<String, OpenImApp>,
}

/// `[vendors.openim.apps.<name>]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OpenImApp {
    /// Secret first path segments.
    #[serde(deserialize_with = "list")]
    pub path_tokens: Vec<Secret>,
    #[serde(deserialize_with = "list")]
    path_tokens_files: Vec<PathBuf>,
    /// `user:password` pairs.
    #[serde(deserialize_with = "list")]
    pub basic_auth: Vec<Secret>,
    #[serde(deserialize_with = "list")]
    basic_auth_files: Vec<PathBuf>,
    /// Where its servers call from.
    #[serde(deserialize_with = "list")]
    pub allowed_ips: Vec<Network>,
    /// How OpenIM Enterprise signs.
    pub signature_algorithm: Option<OpenImAlgorithm>,
    /// The header field that holds the signature; its `signature.signatureHeader`.
    pub signature_header: String,
    /// The header field that holds what is signed; its `signature.nonceHeader`.
    pub nonce_header: String,
    /// Its `signature.secret`; any may verify.
    #[serde(deserialize_with = "list")]
    pub signature_secrets: Vec<Secret>,
    #[serde(deserialize_with = "list")]
    signature_secrets_files: Vec<PathBuf>,
    /// Says, literally, that anybody may call.
    pub allow_unauthenticated: bool,
    /// Goes into the ids of receipts unless it is 0: raised when the server's sequences have begun again.
    pub epoch: u32,
    /// Whether the server's own message about a read, of contentType 2200, counts as a read event.
    pub reads_from_notifications: bool,
}

/// The algorithms that OpenIM Enterprise names, in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum OpenImAlgorithm {
    /// HMAC-SHA1
    #[serde(rename = "HMAC-SHA1")]
    HmacSha1,
    /// HMAC-SHA256
    #[serde(rename = "HMAC-SHA256")]
    HmacSha256,
    /// HMAC-SHA512
    #[serde(rename = "HMAC-SHA512")]
    HmacSha512,
    /// RSA-SHA256, which readhook cannot check.
    #[serde(rename = "RSA-SHA256")]
    RsaSha256,
    /// ECDSA-SHA256, which readhook cannot check.
    #[serde(rename = "ECDSA-SHA256")]
    EcdsaSha256,
}

/// `[vendors.rongcloud]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RongCloudConfig {
    /// The apps by name.
    pub apps: BTreeMap<String, RongCloudApp>,
}

/// `[vendors.rongcloud.apps.<name>]`
#[derive(Debug, Clone, Deserialize)]
pub struct RongCloudApp {
    /// The app key.
    pub app_key: String,
    /// App secrets; any may verify.
    #[serde(default, deserialize_with = "list")]
    pub secrets: Vec<Secret>,
    #[serde(default, deserialize_with = "list")]
    secrets_files: Vec<PathBuf>,
    /// How far the signed time may be from our clock; 0 means as far as it likes.
    #[serde(default)]
    pub freshness_seconds: u64,
    /// Secrets of the relay; they open `/webhooks/rongcloud/relay`.
    #[serde(default, deserialize_with = "list")]
    pub relay_secrets: Vec<Secret>,
    #[serde(default, deserialize_with = "list")]
    relay_secrets_files: Vec<PathBuf>,
}

impl VendorsConfig {
    /// Every list of secrets: vendor, app identity as in receipts, the setting, and what stands in it.
    pub fn secret_lists(&self) -> Vec<(&'static str, &str, &'static str, &[Secret])> {
        let mut lists: Vec<(&str, &str, &str, &[Secret])> = Vec::new();
        for app in self.easemob.apps.values() {
            lists.push(("easemob", &app.appkey, "secrets", &app.secrets));
        }
        for app in self.tencent.apps.values() {
            lists.push(("tencent", &app.sdk_app_id, "secrets", &app.secrets));
        }
        for (name, app) in &self.openim.apps {
            lists.push(("openim", name, "path_tokens", &app.path_tokens));
            lists.push(("openim", name, "basic_auth", &app.basic_auth));
            lists.push(("openim", name, "signature_secrets", &app.signature_secrets));
        }
        for app in self.rongcloud.apps.values() {
            lists.push(("rongcloud", &app.app_key, "secrets", &app.secrets));
            lists.push(("rongcloud", &app.app_key, "relay_secrets", &app.relay_secrets));
        }
        lists
    }

    /// Reads the secret files of every app.
    pub(super) fn read_files(&mut self, mistakes: &mut Mistakes) {
        let key = |vendor: &str, app: &str, list: &str| format!("vendors.{vendor}.apps.{app}.{list}");
        let passthroughs = [
            ("easemob", &mut self.easemob.passthrough),
            ("tencent", &mut self.tencent.passthrough),
            ("openim", &mut self.openim.passthrough),
        ];
        for (vendor, passthrough) in passthroughs {
            if let Some(passthrough) = passthrough {
                mistakes.take(passthrough.read_files(&format!("vendors.{vendor}.passthrough")));
            }
        }
        for (name, app) in &mut self.easemob.apps {
            mistakes.take(gather(&key("easemob", name, "secrets"), &mut app.secrets, &app.secrets_files));
        }
        for (name, app) in &mut self.tencent.apps {
            mistakes.take(gather(&key("tencent", name, "secrets"), &mut app.secrets, &app.secrets_files));
        }
        for (name, app) in &mut self.openim.apps {
            let OpenImApp { path_tokens, path_tokens_files, basic_auth, basic_auth_files, .. } = app;
            mistakes.take(gather(&key("openim", name, "path_tokens"), path_tokens, path_tokens_files));
            mistakes.take(gather(&key("openim", name, "basic_auth"), basic_auth, basic_auth_files));
            let OpenImApp { signature_secrets, signature_secrets_files, .. } = app;
            mistakes.take(gather(
                &key("openim", name, "signature_secrets"),
                signature_secrets,
                signature_secrets_files,
            ));
        }
        for (name, app) in &mut self.rongcloud.apps {
            let RongCloudApp { secrets, secrets_files, relay_secrets, relay_secrets_files, .. } = app;
            mistakes.take(gather(&key("rongcloud", name, "secrets"), secrets, secrets_files));
            mistakes.take(gather(
                &key("rongcloud", name, "relay_secrets"),
                relay_secrets,
                relay_secrets_files,
            ));
        }
    }
}
