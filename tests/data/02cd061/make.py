#!/usr/bin/env python3
"""Writes the data folders beside this file: `make.py PROGRAM`, with the `readhook` of commit 02cd061.

`clean` was ended by SIGTERM: everything is in the main file and in a run of ids. `killed` was ended by SIGKILL: its
newest receipts are in the WAL alone. `callbacks.jsonl` in each folder has what was posted and how it was answered,
`facts.json` what the admin API said at the end.
"""
import hashlib, http.client, http.server, json, os, re, shutil, signal, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.abspath(sys.argv[1])

CONFIG = """
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[journal]
path = "data/readhook.db"
retention_days = 0
[vendors.easemob]
ban_guard = 60
[vendors.easemob.apps.demo]
appkey = "1122334455#demo"
secrets = ["test-only-easemob-secret"]
[vendors.tencent.apps.demo]
sdk_app_id = "1400000000"
[vendors.openim.apps.demo]
allow_unauthenticated = true
[vendors.rongcloud.apps.demo]
app_key = "demo-app-key"
secrets = ["test-only-rongcloud-secret"]
relay_secrets = ["test-only-relay-secret"]
[sinks.events]
type = "file"
path = "data/receipts.jsonl"
[sinks.paused]
type = "file"
path = "data/paused.jsonl"
[sinks.refusing]
type = "http"
url = "http://127.0.0.1:{port}/"
mode = "single"
"""


class Refusing(http.server.BaseHTTPRequestHandler):
    """Takes everything but receipts of OpenIM whose sequence is a multiple of 10."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        data = json.loads(body).get("data", {})
        refused = data.get("vendor") == "openim" and data["message_seq"] % 10 == 0
        self.send_response(400 if refused else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def easemob(n, secret="test-only-easemob-secret"):
    call = f"1122334455#demo_{n}"
    security = hashlib.md5(f"{call}{secret}1755000000102".encode()).hexdigest()
    return "/webhooks/easemob", json.dumps({
        "callId": call, "eventType": "chat", "chat_type": "read_ack", "security": security,
        "payload": {"ext": {}, "ack_message_id": f"9{n}", "msg_config": {"allow_group_ack": True}},
        "appkey": "1122334455#demo", "from": "reader", "to": "281474976710777", "msg_id": str(n),
        "timestamp": 1755000000102})


def tencent(n):
    if n % 8 == 1:
        return ("/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt", json.dumps({
            "CallbackCommand": "Group.CallbackAfterReadReceipt", "GroupId": "@TGS#group", "Type": "Public",
            "GroupMsgReceiptList": [
                {"MsgSeq": n, "ReadNum": 1, "UnreadNum": 9, "ReadReceiptMembers": [{"Member_Account": f"reader{n}"}]}],
            "EventTime": str(1760000000000 + n)}))
    return ("/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport",
            json.dumps({"Report_Account": "reader", "Peer_Account": f"peer{n % 7}", "LastReadTime": 1755000000 + n}))


def openim(n):
    return "/webhooks/openim/callbackAfterSingleMsgReadCommand", json.dumps({
        "callbackCommand": "callbackAfterSingleMsgReadCommand", "conversationID": f"si_a{n % 5}_b", "userID": "b",
        "Seqs": [n], "contentType": 1})


def rongcloud(n):
    signature = hashlib.sha1(b"test-only-rongcloud-secret7319041767000000000").hexdigest()
    return (f"/webhooks/rongcloud?appKey=demo-app-key&nonce=731904&timestamp=1767000000000&signature={signature}",
            f"fromUserId=u{n % 9}&toUserId=u2&objectName=RC%3AReadNtf&content=%7B%22lastMessageSendTime%22%3A"
            f"{1755000000000 + n}%7D&channelType=PERSON&msgTimestamp=1767000000001&msgUID=UID-{n}")


class Service:
    def __init__(self, folder, port):
        config = os.path.join(folder, "config.toml")
        with open(config, "w") as file:
            file.write(CONFIG.replace("{port}", str(port)))
        self.process = subprocess.Popen([PROGRAM, "--config", config], cwd=folder, env={}, stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            found = re.search(r"callbacks on http://([0-9.:]+).*admin on http://([0-9.:]+)", line)
            if found:
                self.public, self.admin = found.groups()
                break
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()

    def ask(self, address, method, target, body=None):
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def api(self, target):
        return json.loads(self.ask(self.admin, "GET", "/api/v1/" + target)[1])

    def until(self, what, good):
        for _ in range(200):
            if good():
                return
            time.sleep(0.05)
        raise SystemExit(f"{what} did not come: {self.api('sinks')}")


def make(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tempfile.mkdtemp()
    posted = []

    def post(service, callback):
        target, body = callback
        status, _ = service.ask(service.public, "POST", target, body)
        posted.append({"target": target, "body": body, "status": status})

    def head(service):
        return {sink["name"]: sink for sink in service.api("sinks")["sinks"]}

    service = Service(folder, server.server_address[1])
    for n in range(1, 61):
        for vendor in (easemob, tencent, openim, rongcloud):
            post(service, vendor(n))
    count = 240
    service.until("the sinks", lambda: all(sink["cursor"] == count for sink in head(service).values()))
    service.ask(service.admin, "POST", "/api/v1/sinks/paused/pause")
    for n in range(1, 6):
        post(service, easemob(1000 + n, "wrong"))
    post(service, ("/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport", '{"Report_Account":"r"}'))
    post(service, easemob(7))  # a duplicate
    # A run of ids with the first start's receipts, in the second both run and WAL are in use.
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait() == 0
    service = Service(folder, server.server_address[1])
    for n in range(61, 76):
        for vendor in (easemob, tencent, openim, rongcloud):
            post(service, vendor(n))
    count = 300
    service.until("the sinks", lambda: all(sink["cursor"] == (240 if sink["name"] == "paused" else count)
                                           for sink in head(service).values()))
    service.until("the read state", lambda: service.api("positions?vendor=openim&app=demo&reader=b")["positions"])
    time.sleep(1)  # cursors are saved at most every 200 ms
    receipts = []
    page = service.api("receipts?limit=1000")
    receipts += page["receipts"]
    assert len(receipts) == count and not page["next"], len(receipts)
    facts = {
        "receipts": [receipt["id"] for receipt in receipts],
        "sinks": {sink["name"]: sink["cursor"] for sink in service.api("sinks")["sinks"]},
        "dead_letters": {sink["name"]: sink["dead_letters"] for sink in service.api("sinks")["sinks"]},
        "quarantine": [{key: entry[key] for key in ("vendor", "reason")} for entry in
                       service.api("quarantine")["entries"]],
        "position": service.api("positions?vendor=openim&app=demo&reader=b"),
    }
    if name == "clean":
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait() == 0
    else:
        service.process.kill()
        service.process.wait()
    server.shutdown()
    target = os.path.join(HERE, name)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(os.path.join(folder, "data"), os.path.join(target, "data"))
    with open(os.path.join(target, "callbacks.jsonl"), "w") as file:
        for callback in posted:
            file.write(json.dumps(callback) + "\n")
    with open(os.path.join(target, "facts.json"), "w") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    shutil.rmtree(folder)
    print(name, len(posted), "posted;", {k: len(v) for k, v in facts.items()}, facts["sinks"], facts["dead_letters"])


for variant in ("clean", "killed"):
    make(variant)
