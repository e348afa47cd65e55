"""Reads what the `redis` sink adds, in a consumer group: redis_stream.py URL STORE (needs the package `redis`).

One consumer, so that order holds; several share the work and lose it, which does no harm where only the greatest counts.
"""
import json
import sys

import redis
from store import Store

STREAM, GROUP, CONSUMER = "readhook", "positions", "one"

store = Store(sys.argv[2])
server = redis.Redis.from_url(sys.argv[1], decode_responses=True)
try:
    server.xgroup_create(STREAM, GROUP, id="0", mkstream=True)  # from the beginning; "$" would be from now on
except redis.ResponseError as error:
    if not str(error).startswith("BUSYGROUP"):
        raise

after = "0"  # first what this consumer was given before, and did not acknowledge
while True:
    found = server.xreadgroup(GROUP, CONSUMER, {STREAM: after}, count=500, block=2000)
    entries = found[0][1] if found else []
    if after == "0" and not entries:
        after = ">"  # then what is new
        continue
    if entries:
        # An entry without fields was trimmed before it was read.
        store.take([json.loads(fields["receipt"]) for _, fields in entries if fields])
        server.xack(STREAM, GROUP, *[place for place, _ in entries])  # after the commit, never before
