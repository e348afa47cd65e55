//! The configuration: where values come from, and what is refused with which words.

use std::path::Path;

use readhook::config::{Config, Environment, SinkKind, load};

use crate::house::repository;

fn with(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("readhook.toml");
    std::fs::write(&file, text).unwrap();
    let environment: Environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Some(&file), &environment).map_err(|error| error.to_string())
}

#[test]
fn the_files_that_come_with_it_are_right() {
    for file in [
        "config/readhook.toml",
        "config/demo.toml",
        "fixtures/strict.toml",
        "fixtures/epoch.toml",
        "fixtures/enterprise.toml",
    ] {
        load(Some(&repository(file)), &Environment::new()).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
#[cfg(all(feature = "sink-http", feature = "sink-nats", feature = "sink-redis", feature = "sink-postgres"))]
fn every_setting_of_the_commented_file_is_a_setting() {
    let text = std::fs::read_to_string(repository("config/readhook.toml")).unwrap();
    // A setting is commented out as `#key = value` or `#[section]`; a sentence has a space behind its `#`. A second `#` has
    // what only a build with Kafka can be told.
    let kafka = cfg!(feature = "sink-kafka");
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix(if kafka && line.starts_with("##") { "##" } else { "#" }) {
            Some(setting) if !setting.starts_with([' ', '#']) && !setting.is_empty() => {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let environment = [("RONGCLOUD_APP_SECRET", "s")];
    let config = with(&uncommented, &environment).unwrap();
    assert!(config.vendors.easemob.apps.len() == 1 && config.sinks.len() == 6 + usize::from(kafka));
}

#[test]
fn the_environment_wins_over_the_file_for_every_kind_of_value() {
    let text = "
        [server]
        listen = \"127.0.0.1:1\"
        [vendors.easemob.apps.demo]
        appkey = \"a#b\"
        secrets = [\"from-file\"]
        [sinks.events]
        type = \"file\"
        path = \"a\"
    ";
    let config = with(
        text,
        &[
            ("READHOOK__SERVER__LISTEN", "[::1]:2"),
            ("READHOOK__SERVER__BODY_LIMIT_BYTES", "5000"),
            ("READHOOK__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1"),
            ("READHOOK__JOURNAL__RETENTION_DAYS", "0"),
            ("READHOOK__VENDORS__EASEMOB__APPS__DEMO__SECRETS", "one,two"),
            ("READHOOK__VENDORS__TENCENT__APPS__T1__SDK_APP_ID", "1400000000"),
            ("READHOOK__VENDORS__OPENIM__APPS__O_2__BASIC_AUTH", "[\"u:a,b\"]"),
            ("READHOOK__VENDORS__OPENIM__APPS__OPEN__ALLOW_UNAUTHENTICATED", "true"),
            ("READHOOK__SINKS__EVENTS__PATH", "b"),
            ("READHOOK__SINKS__EVENTS__BATCH", "7"),
            ("READHOOK__SINKS__SCREEN__TYPE", "stdout"),
            ("READHOOK_UNRELATED", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen, "[::1]:2".parse().unwrap());
    assert_eq!((config.server.body_limit_bytes, config.journal.retention_days), (5000, 0));
    assert!(config.server.trusted_proxies[1].contains("192.0.2.1".parse().unwrap()));
    let exposed = |secrets: &[readhook::config::Secret]| {
        secrets.iter().map(|s| s.expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(exposed(&config.vendors.easemob.apps["demo"].secrets), ["one", "two"]);
    assert_eq!(config.vendors.tencent.apps["t1"].sdk_app_id, "1400000000");
    assert_eq!(exposed(&config.vendors.openim.apps["o_2"].basic_auth), ["u:a,b"]);
    assert!(config.vendors.openim.apps["open"].allow_unauthenticated);
    assert_eq!(config.sinks["events"].kind, SinkKind::File { path: "b".into() });
    assert_eq!(config.sinks["events"].batch.get(), 7);
    assert_eq!(config.sinks["screen"].kind, SinkKind::Stdout);
}

#[test]
fn variables_and_secret_files_are_put_in_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "from a file \n").unwrap();
    let text = format!(
        "[vendors.easemob.apps.demo]\nappkey = \"${{ORG}}#app\"\nsecrets = [\"x${{A}}y${{B}}\", \"$${{A}}\"]\nsecrets_files = [{file:?}]\n[admin]\ntoken_file = {file:?}\n"
    );
    let config = with(&text, &[("ORG", "org"), ("A", "1"), ("B", "2")]).unwrap();
    let app = &config.vendors.easemob.apps["demo"];
    assert_eq!(app.appkey, "org#app");
    let secrets: Vec<&str> = app.secrets.iter().map(|secret| secret.expose()).collect();
    assert_eq!(secrets, ["x1y2", "${A}", "from a file "], "one newline at the end is not part of it");
    assert_eq!(config.admin.token.unwrap().expose(), "from a file ");
}

#[test]
fn what_is_wrong_is_named_in_full() {
    let easemob = "[vendors.easemob.apps.demo]\nappkey = \"a#b\"\nsecrets = [\"hunter2\"]\n";
    let cases: [(&str, &[&str]); 35] = [
        ("[server]\nlisten = ", &["not TOML", "line 2", "column"]),
        ("[vendors.easemob.apps.demo]\nsecrets = [\"hunter2", &["not TOML", "line 2"]),
        ("[serve]\nlisten = \"x\"", &["unknown setting", "serve"]),
        ("[server]\nlistem = \"x\"\nport = 1", &["unknown settings", "server.listem", "server.port"]),
        ("[vendors.icq.apps.x]\na = 1", &["vendors.icq"]),
        (
            "[vendors.easemob.apps.demo]\nappkey = \"a#b\"\nsecret = \"hunter2\"",
            &["vendors.easemob.apps.demo.secret"],
        ),
        ("[sinks.events]\ntype = \"file\"\npath = \"x\"\nfoo = 1", &["sinks.events.foo"]),
        ("[server]\nlisten = \"nowhere\"", &["server.listen"]),
        ("[server]\nbody_limit_bytes = \"many\"", &["server.body_limit_bytes"]),
        ("[server]\nbody_limit_bytes = -1", &["server.body_limit_bytes"]),
        ("[server]\nbody_limit_bytes = 0", &["server.body_limit_bytes"]),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/99\"]", &["server.trusted_proxies", "CIDR"]),
        ("[server]\nkeep_alive_seconds = 5", &["server.keep_alive_seconds", "75"]),
        ("[admin]\nlisten = \"0.0.0.0:9090\"", &["admin.token", "required"]),
        ("[admin]\ntoken = \"${NOPE}\"", &["admin.token", "`NOPE` is not set"]),
        ("[admin]\ntoken = \"${NOPE\"", &["admin.token", "closing"]),
        ("[admin]\ntoken_file = \"/no/such/file\"", &["admin.token_file", "/no/such/file"]),
        (
            "[vendors.easemob.apps.demo]\nappkey = \"a#b\"",
            &["vendors.easemob.apps.demo.secrets", "nothing can verify"],
        ),
        (
            "[vendors.easemob.apps.demo]\nappkey = \"a#b\"\nsecrets = [\"\"]",
            &["vendors.easemob.apps.demo.secrets", "empty"],
        ),
        ("[vendors.easemob.apps.demo]\nsecrets = [\"hunter2\"]", &["vendors.easemob.apps.demo", "appkey"]),
        (
            "[vendors.easemob.apps.\"De-mo\"]\nappkey = \"a#b\"\nsecrets = [\"x\"]",
            &["vendors.easemob.apps.De-mo", "a-z"],
        ),
        ("[vendors.openim.apps.demo]\n", &["vendors.openim.apps.demo.path_tokens", "allow_unauthenticated"]),
        (
            "[vendors.openim.apps.demo]\nsignature_algorithm = \"RSA-SHA256\"",
            &["vendors.openim.apps.demo.signature_algorithm", "HMAC-SHA256"],
        ),
        (
            "[vendors.openim.apps.demo]\nsignature_secrets = [\"x\"]",
            &["vendors.openim.apps.demo.signature_algorithm", "is missing"],
        ),
        (
            "[vendors.openim.apps.demo]\nsignature_algorithm = \"HMAC-SHA1\"\nsignature_header = \"X-S\"",
            &["vendors.openim.apps.demo.nonce_header", "must name a header field"],
        ),
        (
            "[vendors.openim.apps.demo]\nsignature_algorithm = \"HMAC-SHA1\"\nsignature_header = \"X-S\"\nnonce_header = \"x-s\"",
            &["vendors.openim.apps.demo.nonce_header", "the signature itself"],
        ),
        (
            "[vendors.openim.apps.demo]\nsignature_algorithm = \"HMAC-SHA1\"\nsignature_header = \"X-S\"\nnonce_header = \"X-N\"",
            &["vendors.openim.apps.demo.signature_secrets", "signature.secret"],
        ),
        (
            "[vendors.openim.apps.demo]\nallow_unauthenticated = true\npath_tokens = [\"x\"]",
            &["vendors.openim.apps.demo.allow_unauthenticated"],
        ),
        (
            "[vendors.openim.apps.demo]\nbasic_auth = [\"hunter2\"]",
            &["vendors.openim.apps.demo.basic_auth", "user:password"],
        ),
        ("[vendors.rongcloud.apps.demo]\napp_key = \"k\"", &["vendors.rongcloud.apps.demo.secrets"]),
        ("[sinks.x]\ntype = \"carrier_pigeon\"", &["sinks.x.type", "carrier_pigeon"]),
        ("[sinks.x]\ntype = \"file\"", &["sinks.x.path"]),
        ("[sinks.x]\npath = \"y\"", &["sinks.x", "type"]),
        ("[sinks.x]\ntype = \"stdout\"\nbatch = 0", &["sinks.x.batch"]),
        ("[delivery]\nack_after = \"sinks\"", &["delivery.ack_after"]),
    ];
    for (text, words) in cases {
        let error = with(text, &[]).map(|_| ()).expect_err(text);
        for word in words {
            assert!(error.contains(word), "{text:?} gives {error:?}, without {word:?}");
        }
        assert!(!error.contains("hunter2"), "{text:?} gives a secret away: {error}");
    }
    for (second, words) in [
        (
            "[vendors.easemob.apps.other]\nappkey = \"a#b\"\nsecrets = [\"x\"]",
            ["vendors.easemob.apps.other.appkey", "demo"],
        ),
        (
            "[sinks.a]\ntype = \"file\"\npath = \"p\"\n[sinks.b]\ntype = \"file\"\npath = \"p\"",
            ["sinks.b.path", "a"],
        ),
    ] {
        let error = with(&format!("{easemob}{second}"), &[]).map(|_| ()).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let unknown = with("", &[("READHOOK__SERVER__PORT", "1")]).map(|_| ()).unwrap_err();
    assert!(unknown.contains("server.port"), "{unknown}");
}

#[test]
fn a_sink_that_the_build_is_without_says_how_to_get_it() {
    for kind in ["http", "nats", "kafka", "redis", "postgres"] {
        let error = with(&format!("[sinks.x]\ntype = \"{kind}\""), &[]).map(|_| ()).unwrap_err();
        let there = match kind {
            "http" => cfg!(feature = "sink-http"),
            "nats" => cfg!(feature = "sink-nats"),
            "kafka" => cfg!(feature = "sink-kafka"),
            "redis" => cfg!(feature = "sink-redis"),
            _ => cfg!(feature = "sink-postgres"),
        };
        let missing = if kind == "kafka" { "sinks.x.brokers" } else { "sinks.x.url" };
        let words = if there { [missing, "required"] } else { ["sinks.x.type", "--features sink-"] };
        assert!(words.iter().all(|word| error.contains(word)), "{kind}: {error}");
    }
}

#[test]
#[cfg(all(feature = "sink-http", feature = "sink-nats", feature = "sink-redis", feature = "sink-postgres"))]
fn what_is_wrong_with_a_sink_on_a_network_is_named_without_its_secrets() {
    let cases: [(&str, &[&str]); 21] = [
        ("type = \"http\"\nurl = \"ftp://u:hunter2@h\"", &["url", "http:// or https://"]),
        ("type = \"http\"\nurl = \"http://u:hunter2@\"", &["url"]),
        ("type = \"http\"\nurl = \"http://h\"\nurl_file = \"/x\"", &["url", "not both"]),
        ("type = \"http\"\nurl_file = \"/no/such/file\"", &["url_file", "/no/such/file"]),
        ("type = \"http\"\nurl = \"http://h\"\nmode = \"bulk\"", &["mode"]),
        ("type = \"http\"\nurl = \"http://h\"\ntimeout_ms = 0", &["timeout_ms"]),
        ("type = \"http\"\nurl = \"http://h\"\nsecrets = [\"hunter2 !\"]", &["secrets"]),
        (
            "type = \"http\"\nurl = \"http://h\"\nclient_cert_file = \"/x\"",
            &["client_cert_file", "client_key_file"],
        ),
        ("type = \"http\"\nurl = \"http://h\"\nca_file = \"/no/such/file\"", &["ca_file", "/no/such/file"]),
        ("type = \"http\"\nurl = \"http://h\"\npath = \"x\"", &["sinks.x.path", "unknown"]),
        ("type = \"nats\"\nurl = \"http://h\"", &["url", "nats:// or tls://"]),
        ("type = \"nats\"\nurl = \"nats://h\"\nstream = \"a.b\"", &["stream"]),
        ("type = \"nats\"\nurl = \"nats://h\"\nsubject_prefix = \"a.>\"", &["subject_prefix"]),
        ("type = \"nats\"\nurl = \"nats://h\"\nreplicas = 9", &["replicas"]),
        (
            "type = \"nats\"\nurl = \"nats://h\"\ntoken = \"hunter2\"\nnkey_seed = \"s\"",
            &["token", "nkey_seed"],
        ),
        ("type = \"redis\"\nurl = \"redis://a,redis://b\"", &["url", "cluster"]),
        ("type = \"redis\"\nurl = \"redis://a\"\nmaxlen = -1", &["maxlen"]),
        ("type = \"redis\"\nurl = \"redis://a\"\nstream = \"\"", &["stream", "empty"]),
        ("type = \"postgres\"\nurl = \"mysql://h\"", &["url", "postgres://"]),
        ("type = \"postgres\"\nurl = \"postgres://h\"\ntable = \"a; DROP\"", &["table"]),
        ("type = \"postgres\"\nurl = \"postgres://h\"\nfrom = \"middle\"", &["from"]),
    ];
    for (section, words) in cases {
        let error = with(&format!("[sinks.x]\n{section}"), &[]).map(|_| ()).expect_err(section);
        for word in words {
            assert!(error.contains(word), "{section:?} gives {error:?}, without {word:?}");
        }
        assert!(!error.contains("hunter2"), "{section:?} gives a secret away: {error}");
    }
}

#[test]
#[cfg(feature = "sink-http")]
fn a_sink_of_the_network_can_come_from_the_environment() {
    let config = with(
        "",
        &[
            ("READHOOK__SINKS__HOOK__TYPE", "http"),
            ("READHOOK__SINKS__HOOK__URL", "https://u:hunter2@h/p"),
            (
                "READHOOK__SINKS__HOOK__SECRETS",
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",
            ),
            ("READHOOK__SINKS__HOOK__TIMEOUT_MS", "1500"),
            ("READHOOK__SINKS__HOOK__MODE", "batch"),
            ("READHOOK__SINKS__HOOK__BATCH", "50"),
        ],
    )
    .unwrap();
    let hook = &config.sinks["hook"];
    let SinkKind::Http(http) = &hook.kind else { panic!("{hook:?}") };
    assert_eq!((hook.batch.get(), http.timeout.duration().as_millis(), http.secrets.len()), (50, 1500, 2));
    assert_eq!(http.mode, readhook::config::HttpMode::Batch);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn two_openim_apps_are_told_apart_or_refused() {
    let two = |one: &str, other: &str| {
        with(&format!("[vendors.openim.apps.one]\n{one}\n[vendors.openim.apps.two]\n{other}\n"), &[])
    };
    assert!(two("path_tokens = [\"x\"]", "path_tokens = [\"y\"]").is_ok());
    assert!(two("allowed_ips = [\"10.0.0.0/9\"]", "allowed_ips = [\"10.128.0.0/9\"]").is_ok());
    for (one, other) in [
        ("path_tokens = [\"x\"]", "path_tokens = [\"y\", \"x\"]"),
        ("basic_auth = [\"u:p\"]", "basic_auth = [\"u:p\"]"),
        ("allowed_ips = [\"10.0.0.0/8\"]", "allowed_ips = [\"10.1.0.0/16\"]"),
        ("allow_unauthenticated = true", "allow_unauthenticated = true"),
    ] {
        let error = two(one, other).map(|_| ()).unwrap_err();
        assert!(error.contains("vendors.openim.apps.two") && error.contains("`one`"), "{error}");
    }
}

#[test]
fn a_secret_is_not_in_the_debug_print() {
    let config = load(Some(Path::new(&repository("config/demo.toml"))), &Environment::new()).unwrap();
    assert!(!format!("{config:?}").contains("test-only"));
}

/// The error as a whole, with the file's own name taken out.
fn mistakes(text: &str, environment: &[(&str, &str)]) -> String {
    with(text, environment).map(|_| ()).expect_err(text)
}

#[test]
fn a_mistake_names_file_line_key_what_is_expected_and_what_was_meant() {
    let cases: [(&str, &[&str]); 28] = [
        (
            "[server]\nlisten_ = \"x\"",
            &["readhook.toml`, line 2", "server.listen_", "did you mean `listen`?"],
        ),
        ("\n\n[sever]\nlisten = \"x\"", &["line 3", "sever", "did you mean `server`?"]),
        ("[server]\nretention_days = 3", &["line 2", "did you mean `journal.retention_days`?"]),
        ("[server]\ncolour = 3", &["line 2", "[server] takes", "`listen`", "`max_connections`"]),
        ("[vendors.easymob.apps.a]\nappkey = \"a#b\"", &["did you mean `easemob`?"]),
        (
            "[vendors.easemob.apps.a]\nappkey = \"a#b\"\nsecret = [\"x\"]",
            &["line 3", "vendors.easemob.apps.a.secret", "did you mean `secrets`?"],
        ),
        ("[sinks.a]\ntype = \"file\"\npaht = \"x\"", &["line 3", "did you mean `path`?"]),
        ("[sinks.a]\ntype = \"fille\"", &["line 2", "`fille`", "did you mean `file`?"]),
        ("[server]\nlisten = 8080", &["line 2", "an address and a port", "listen = \"0.0.0.0:8080\""]),
        ("[server]\nlisten = \"localhost\"", &["line 2", "port is missing", "listen = \"0.0.0.0:8080\""]),
        ("[server]\nbody_limit_bytes = -1", &["line 2", "a whole number, 1 or more", "1048576"]),
        ("[server]\nbody_limit_bytes = \"1MiB\"", &["line 2", "a whole number", "1048576"]),
        ("[server]\nbody_limit_bytes = 1.5", &["line 2", "a whole number", "1048576"]),
        ("[journal]\nretention_days = 99999999999", &["line 2", "0 to 4294967295"]),
        ("[journal]\nretention_days = true", &["line 2", "a whole number", "retention_days = 30"]),
        ("[delivery]\nack_after = \"sink\"", &["line 2", "`journal`, `sinks`", "did you mean `sinks`?"]),
        ("[delivery]\ndrain_seconds = \"10s\"", &["line 2", "a whole number", "drain_seconds = 10"]),
        ("[log]\nformat = \"yaml\"", &["line 2", "`text`, `json`"]),
        ("[state]\nenabled = \"yes\"", &["line 2", "`true` or `false`"]),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\",\n  \"10.0.0\"]",
            &["line 3", "trusted_proxies[1]", "CIDR"],
        ),
        ("[server]\ntrusted_proxies = 10", &["line 2", "a list of addresses", "[\"10.0.0.0/8\"]"]),
        ("server = 3", &["line 1", "[server]", "section"]),
        ("[admin.token]\nx = 1", &["line 1", "admin.token", "a text in quotes"]),
        ("[vendors.tencent.apps.a]\nsecrets = [\"x\"]", &["line 1", "sdk_app_id", "required", "1400000000"]),
        ("[vendors.openim.passthrough]\ntimeout_ms = 5", &["line 1", "url", "required", "https://"]),
        ("[journal]\npath = \"\"", &["line 2", "journal.path", "empty", "data/readhook.db"]),
        ("[journal]\npath = \"data/\"", &["line 2", "journal.path", "folder", "data/readhook.db"]),
        ("[admin]\ntoken = \"${A:-b}\"", &["line 2", "admin.token", "default"]),
    ];
    for (text, words) in cases {
        let error = mistakes(text, &[]);
        for word in words {
            assert!(error.contains(word), "{text:?} gives {error:?}, without {word:?}");
        }
        for inside in
            ["enum ", "variant", "constructor", "64-bit", "64 bit", "integer", "deserial", "usize", "u32"]
        {
            assert!(!error.contains(inside), "{text:?} gives {error:?}, with {inside:?}");
        }
    }
}

#[test]
fn all_mistakes_are_named_in_one_run_in_the_order_of_the_file() {
    let text = "
[server]
listen = \"nowhere\"
listem = 1
body_limit_bytes = \"many\"
[delivery]
ack_after = \"sink\"
[vendors.easemob.apps.a]
secrets = [\"${NOPE}\"]
secretes = 1
[vendors.tencent.apps.b]
sdk_app_id = \"1\"
secrets_files = [\"/no/such/file\"]
[vendors.openim.apps.c]
[sinks.d]
type = \"file\"
pth = \"x\"
[sinks.e]
type = \"stdout\"
batch = 0
from = \"end\"
";
    let error = mistakes(text, &[("READHOOK__JOURNAL__RETENTION", "x"), ("READHOOK__ADMIN__LISTEN", "::")]);
    let lines: Vec<&str> = error.lines().skip(1).collect();
    let expected = [
        "line 3: server.listen:",
        "line 4: server.listem:",
        "line 5: server.body_limit_bytes:",
        "line 7: delivery.ack_after:",
        "line 8: vendors.easemob.apps.a.appkey:",
        "line 9: vendors.easemob.apps.a.secrets[0]:",
        "line 10: vendors.easemob.apps.a.secretes:",
        "line 13: vendors.tencent.apps.b.secrets_files[0]:",
        "line 14: vendors.openim.apps.c.path_tokens:",
        "line 15: sinks.d.path:",
        "line 17: sinks.d.pth:",
        "line 20: sinks.e.batch:",
        "line 21: sinks.e.from:",
        "environment variable `READHOOK__ADMIN__LISTEN`: admin.listen:",
        "environment variable `READHOOK__JOURNAL__RETENTION`: journal.retention:",
    ];
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line:?} is not {expected:?} in\n{error}");
    }
    assert!(error.contains("15 mistakes"), "{error}");
}

#[test]
fn localhost_is_a_place_to_listen() {
    let config =
        with("[server]\nlisten = \"localhost:8080\"\n[admin]\nlisten = \"localhost:9090\"", &[]).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin.listen, "127.0.0.1:9090".parse().unwrap());
}

#[test]
fn a_variable_with_the_prefix_that_fits_no_setting_is_an_error() {
    for (variable, meant) in [
        ("READHOOK__SERVER__LISTEM", "did you mean `READHOOK__SERVER__LISTEN`?"),
        ("READHOOK__SERVER_LISTEN", "did you mean `READHOOK__SERVER__LISTEN`?"),
        ("READHOOK__LISTEN", "did you mean `READHOOK__SERVER__LISTEN`?"),
        ("READHOOK___SERVER__LISTEN", "READHOOK___SERVER__LISTEN"),
        ("READHOOK__", "unknown setting"),
        ("READHOOK__SERVER__LISTEN__PORT", "READHOOK__SERVER__LISTEN__PORT"),
        ("READHOOK__SERVER__BODY-LIMIT-BYTES", "did you mean `READHOOK__SERVER__BODY_LIMIT_BYTES`?"),
        ("READHOOK__SINKS__A__COLOUR", "unknown setting"),
        ("READHOOK__SERVER", "section"),
        (
            "READHOOK__VENDORS__EASEMOB__APPS__A__APP_KEY",
            "did you mean `READHOOK__VENDORS__EASEMOB__APPS__A__APPKEY`?",
        ),
    ] {
        let error = mistakes("[sinks.a]\ntype = \"stdout\"\n", &[(variable, "hunter2")]);
        assert!(error.contains(variable) && error.contains(meant), "{variable}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = mistakes("", &[("READHOOK__SERVER", "x"), ("READHOOK__SERVER__LISTEN", "[::1]:1")]);
    assert!(error.contains("`READHOOK__SERVER`"), "{error}");
    let error =
        mistakes("", &[("readhook__server__listen", "[::1]:1"), ("READHOOK__SERVER__LISTEN", "[::1]:1")]);
    assert!(
        error.contains("readhook__server__listen") && error.contains("READHOOK__SERVER__LISTEN"),
        "{error}"
    );
}

#[test]
fn other_variables_are_ignored_with_a_warning_where_one_looks_like_a_setting() {
    let kubernetes = [
        ("READHOOK_SERVICE_HOST", "10.0.0.1"),
        ("READHOOK_SERVICE_PORT", "8080"),
        ("READHOOK_SERVICE_PORT_HTTP", "8080"),
        ("READHOOK_PORT", "tcp://10.0.0.1:8080"),
        ("READHOOK_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("READHOOK_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("READHOOK_ADMIN_PORT_9090_TCP_PROTO", "tcp"),
        ("READHOOK_ADMIN_SERVICE_HOST", "10.0.0.1"),
    ];
    let heard = |environment: &[(&str, &str)]| with("", environment).unwrap().warnings();
    let nothing = heard(&[]);
    assert_eq!(heard(&kubernetes), nothing);
    for variable in [
        "READHOOK_SERVER__LISTEN",
        "READHOOK_SERVER_LISTEN",
        "READHOOKSERVER__LISTEN",
        "READHOOK-SERVER__LISTEN",
        "READHOK__SERVER__LISTEN",
        "READ_HOOK__SERVER__LISTEN",
        "READHOOK_VENDORS__EASEMOB__APPS__DEMO__SECRETS",
    ] {
        let warnings = heard(&[(variable, "hunter2")]);
        assert_eq!(warnings.len(), nothing.len() + 1, "{variable}: {warnings:?}");
        assert!(warnings[0].contains(variable) && warnings[0].contains("`READHOOK__"), "{warnings:?}");
        assert!(!warnings[0].contains("hunter2"), "{warnings:?}");
    }
}

#[test]
fn what_can_be_served_and_is_worth_a_second_look_is_a_warning() {
    for (text, words) in [
        ("", ["no vendor", "404"]),
        (
            "[vendors.easemob.apps.a]\nappkey = \"demo\"\nsecrets = [\"hunter2\"]",
            ["vendors.easemob.apps.a.appkey", "org#app"],
        ),
        (
            "[vendors.easemob.apps.a]\nappkey = \"a#b\"\nsecrets = [\"x\", \"hunter2 \"]",
            ["vendors.easemob.apps.a.secrets[1]", "white space"],
        ),
        (
            "[vendors.rongcloud.apps.a]\napp_key = \" k\"\nsecrets = [\"hunter2\"]",
            ["vendors.rongcloud.apps.a.app_key", "white space"],
        ),
        (
            "[vendors.openim.apps.a]\npath_tokens = [\"hunter2\"]",
            ["vendors.openim.apps.a.path_tokens[0]", "22 characters"],
        ),
        (
            "[vendors.openim.apps.a]\nbasic_auth = [\"u:hunter2\"]",
            ["vendors.openim.apps.a.basic_auth[0]", "22 characters"],
        ),
        ("[admin]\ntoken = \"hunter2\"", ["admin.token", "22 characters"]),
        ("[vendors.openim.apps.a]\nallow_unauthenticated = true", ["vendors.openim.apps.a", "anybody"]),
    ] {
        let warnings = with(text, &[]).unwrap().warnings();
        let found = warnings.iter().any(|warning| words.iter().all(|word| warning.contains(word)));
        assert!(found, "{text:?} gives {warnings:?}");
        assert!(!warnings.concat().contains("hunter2"), "{warnings:?}");
    }
    let long =
        "[vendors.openim.apps.a]\npath_tokens = [\"0123456789abcdefghijkl\"]\n[sinks.s]\ntype = \"stdout\"";
    assert_eq!(with(long, &[]).unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn a_passthrough_to_readhook_itself_is_refused() {
    let text = |listen: &str, url: &str| {
        format!("[server]\nlisten = \"{listen}\"\n[vendors.tencent.passthrough]\nurl = \"{url}\"\n")
    };
    for (listen, url) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/webhooks/tencent"),
        ("127.0.0.1:8080", "http://localhost:8080/x"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/x"),
        ("0.0.0.0:8080", "http://[::ffff:127.0.0.1]:8080/x"),
        ("[::]:8080", "http://[::1]:8080/x"),
        ("0.0.0.0:80", "http://localhost/x"),
        ("127.0.0.1:1", "http://127.0.0.1:9090/x"),
    ] {
        let error = mistakes(&text(listen, url), &[]);
        assert!(error.contains("line 4: vendors.tencent.passthrough.url"), "{url}: {error}");
    }
    for (listen, url) in [
        ("0.0.0.0:8080", "http://127.0.0.1:8081/x"),
        ("0.0.0.0:8080", "http://192.0.2.1:8080/x"),
        ("127.0.0.1:8080", "https://im.example.com:8080/x"),
    ] {
        assert!(with(&text(listen, url), &[]).is_ok(), "{url}");
    }
}

#[test]
fn what_a_new_configuration_takes_away_is_named_without_a_value() {
    let old = "
[vendors.easemob.apps.a]
appkey = \"o#a\"
secrets = [\"hunter2\", \"kept\"]
[vendors.easemob.apps.b]
appkey = \"o#b\"
secrets = [\"hunter3\"]
[vendors.tencent.apps.t]
sdk_app_id = \"1\"
[vendors.openim.apps.o]
path_tokens = [\"hunter4\"]
allowed_ips = [\"10.0.0.0/8\", \"192.0.2.1\"]
[vendors.openim.passthrough]
url = \"http://192.0.2.9/\"
";
    let new = "
[vendors.easemob.apps.renamed]
appkey = \"o#a\"
secrets = [\"kept\", \"new\"]
[vendors.openim.apps.o]
path_tokens = [\"other\"]
allowed_ips = [\"192.0.2.1\"]
";
    let (old, new) = (with(old, &[]).unwrap(), with(new, &[]).unwrap());
    let lost = old.taken_away_by(&new);
    assert_eq!(
        lost,
        [
            "vendors.easemob.apps.a.secrets[0]",
            "vendors.easemob.apps.b",
            "vendors.tencent, with its apps t",
            "vendors.openim.apps.o.path_tokens[0]",
            "vendors.openim.apps.o.allowed_ips[0]",
            "vendors.openim.passthrough",
        ]
    );
    assert!(new.taken_away_by(&new).is_empty());
}
