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
    for file in ["config/readhook.toml", "config/demo.toml", "fixtures/strict.toml"] {
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
    let cases: [(&str, &[&str]); 30] = [
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
