"""Takes what the `http` sink posts: webhook.py PORT STORE, with the secrets in WEBHOOK_SECRETS, separated by spaces.

Nothing but the standard library. It answers 204 when the receipts are committed, 401 when the signature does not fit.
"""
import base64
import hmac
import http.server
import json
import os
import sys
import time

from store import Store

TOLERANCE_SECONDS = 300
SECRETS = os.environ["WEBHOOK_SECRETS"].split()
KEYS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in SECRETS]


def genuine(headers, body, now):
    """Standard Webhooks: one of the signatures must be that of one of our keys, over the bytes that came."""
    ident, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{ident}.{stamp}.".encode() + body
    expected = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in KEYS]
    claimed = [part[3:].encode() for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    return any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in claimed])


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not genuine(self.headers, body, time.time()):
            return self.answer(401)  # readhook tries again: secrets can be mended
        events = json.loads(body)
        events = events if isinstance(events, list) else [events]  # mode = "batch", or "single"
        store.take([event["data"] for event in events])
        self.answer(204)

    def do_OPTIONS(self):
        self.answer(204)  # `readhook check` asks

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    store = Store(sys.argv[2])
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
