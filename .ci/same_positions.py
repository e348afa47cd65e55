#!/usr/bin/env python3
"""Whether positions that an example keeps are those that readhook tells: same_positions.py POSITIONS ADMIN-URL"""
import json
import sys
import urllib.parse
import urllib.request

rows = [line.rstrip("\n").split("|") for line in open(sys.argv[1], encoding="utf-8")]
readers = sorted({(row[0], row[1], row[4]) for row in rows})[::7]
compared = 0
for vendor, app, reader in readers:
    query = urllib.parse.urlencode({"vendor": vendor, "app": app, "reader": reader, "limit": 10000})
    with urllib.request.urlopen(f"{sys.argv[2]}/api/v1/positions?{query}", timeout=10) as answer:
        told = json.load(answer)
    assert told["behind"] == 0 and told["next"] is None, told
    names = ("message_seq", "up_to_time", "conversation_read_at", "read_at")
    theirs = sorted([
        [position["conversation"]["type"], position["conversation"]["id"] or ""]
        + [str(position.get(name) or "") for name in names] for position in told["positions"]])
    ours = sorted([row[2:4] + row[5:] for row in rows if (row[0], row[1], row[4]) == (vendor, app, reader)])
    if ours != theirs:
        sys.exit(f"{vendor} {app} {reader}:\nthe example has {ours}\nreadhook says   {theirs}")
    compared += len(ours)
assert compared, "nothing to compare"
