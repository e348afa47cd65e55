//! Chromium without a window, driven through the protocol of its developer tools:
//! <https://chromedevtools.github.io/devtools-protocol/>
//!
//! Over a pipe, so there is no port, no WebSocket and no driver in between, and no crate for it either: the protocol is JSON
//! with a zero byte behind each message. Whatever the browser asks other hosts for, and whatever goes to its console as an
//! error, is taken down.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::house::PATIENCE;
use crate::process::SYSTEM_PATH;

/// Its three ends; the shell puts them where `--remote-debugging-pipe` looks. The sandbox needs privileges that a container
/// seldom has, and the pages are our own. Names other than addresses lead nowhere.
const START: &str = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --disable-extensions --hide-scrollbars \
    --force-color-profile=srgb --lang=en-US --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' --user-data-dir=\"$0\" \
    --remote-debugging-pipe about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1";

/// A browser with one page. Dropped, it is killed.
pub(super) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: mpsc::Receiver<Value>,
    last: u64,
    session: Option<String>,
    at: SocketAddr,
    /// What went to the console as an error, what was thrown, and what a policy stopped.
    pub(super) complaints: Vec<String>,
    /// Every address that was asked.
    pub(super) asked: Vec<String>,
    /// Must be the last field: the browser has files in it.
    _profile: TempDir,
}

impl Browser {
    /// Starts it; pages are relative to `at`.
    pub(super) async fn start(at: SocketAddr) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START])
            .arg(profile.path())
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel(10_000);
        std::thread::spawn(move || {
            let messages = BufReader::new(output).split(0).map_while(Result::ok);
            let mut messages = messages.filter_map(|message| serde_json::from_slice(&message).ok());
            messages.all(|message: Value| sender.blocking_send(message).is_ok())
        });
        let (complaints, asked) = (Vec::new(), Vec::new());
        let mut browser =
            Self { child, input, messages, last: 0, session: None, at, complaints, asked, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// Gives an order and waits for what comes of it.
    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.try_call(method, parameters).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut message = message.to_string().into_bytes();
        message.push(0);
        self.input.write_all(&message).unwrap();
        self.input.flush().unwrap();
        loop {
            let message = timeout(PATIENCE, self.messages.recv()).await;
            let mut message = message.expect(method).expect("chromium should be running");
            if message["id"] != self.last {
                self.note(&message);
            } else if message["error"].is_null() {
                return Ok(message["result"].take());
            } else {
                return Err(message["error"].to_string());
            }
        }
    }

    fn note(&mut self, event: &Value) {
        let told = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => self.asked.push(text(&told["request"]["url"])),
            "Runtime.exceptionThrown" => self.complaints.push(told["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if told["type"] == "error" => {
                self.complaints.push(told["args"].to_string())
            }
            "Log.entryAdded" if told["entry"]["level"] == "error" => {
                self.complaints.push(told["entry"].to_string())
            }
            _ => {}
        }
    }

    /// Opens a page, and waits until it is there.
    pub(super) async fn go(&mut self, place: &str) {
        self.run("window.left = true").await;
        self.call("Page.navigate", json!({ "url": format!("http://{}{place}", self.at) })).await;
        self.until("!window.left && document.readyState === 'complete'").await;
    }

    /// What an expression gives in the page.
    pub(super) async fn run(&mut self, expression: &str) -> Value {
        self.try_run(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn try_run(&mut self, expression: &str) -> Result<Value, String> {
        let question = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.try_call("Runtime.evaluate", question).await?;
        let thrown = &answer["exceptionDetails"];
        if thrown.is_null() { Ok(answer["result"]["value"].take()) } else { Err(thrown.to_string()) }
    }

    /// Waits until an expression is true; on its way there the page may be left for another.
    pub(super) async fn until(&mut self, expression: &str) {
        let wait = async {
            while self.try_run(expression).await != Ok(Value::Bool(true)) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            let page = self.try_run("location.href + ': ' + document.body.innerText").await;
            panic!("this never came true: {expression}\n{}", page.unwrap_or_default());
        }
    }

    /// Waits until the page shows a text.
    pub(super) async fn until_it_says(&mut self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", Value::from(text))).await;
    }

    /// Clicks on what a selector finds, and waits for the page to which that leads.
    pub(super) async fn follow(&mut self, selector: &str) {
        self.until(&format!("!!document.querySelector({})", Value::from(selector))).await;
        self.run(&format!("window.left = true; document.querySelector({}).click()", Value::from(selector)))
            .await;
        self.until("!window.left && document.readyState === 'complete'").await;
    }

    /// Presses a key.
    pub(super) async fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// The window's size, and whether it is dark around it.
    pub(super) async fn look_like(&mut self, (width, height): (u32, u32), dark: bool) {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", screen).await;
        let scheme =
            json!([{ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
    }

    /// What is seen of the page.
    pub(super) async fn picture(&mut self, file: &Path) {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        std::fs::write(file, BASE64_STANDARD.decode(text(&picture["data"])).unwrap()).unwrap();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
