"""Parses what readhook posts with the CloudEvents SDK, and prints what the SDK made of it.

The SDK reads single events only, so of a batch each is given to it as one.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = dict(self.headers.items())
        bodies = [body]
        if headers["content-type"].startswith("application/cloudevents-batch+json"):
            headers["content-type"] = headers["content-type"].replace("-batch+json", "+json")
            bodies = [json.dumps(event).encode() for event in json.loads(body)]
        for body in bodies:
            event = from_http_event(HTTPMessage(headers=headers, body=body))
            said = {"id": event.get_id(), "subject": event.get_subject(), "data": event.get_data()}
            print(json.dumps(said), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
