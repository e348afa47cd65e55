#!/usr/bin/env python3
"""Is everything that was acknowledged in the stream, and nothing twice?

    deploy/prove.py HOST:PORT STREAM ACKNOWLEDGED REPORT CALLBACKS

Reads a JetStream stream from its beginning and the file that `readhook simulate --acknowledged` wrote. What a callback
should have become is read from its body here, once more and apart from readhook, as docs/reference.md says. Ends with 0 if
each of those receipts is in the stream and no id is there twice. Needs nothing but Python; speaks NATS by itself, for it is
a few lines of text.
"""

import json
import socket
import sys
from collections import Counter
from datetime import datetime, timezone
from urllib.parse import parse_qs

BATCH = 2000


class Nats:
    """As much of the protocol as it takes to read a stream."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.lines = self.socket.makefile("rb", buffering=1 << 20)
        self.lines.readline()  # INFO
        self.send('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}', "SUB inbox 1")

    def send(self, *lines):
        self.socket.sendall("".join(line + "\r\n" for line in lines).encode())

    def publish(self, subject, body):
        body = json.dumps(body)
        self.send(f"PUB {subject} inbox {len(body.encode())}", body)

    def message(self):
        """The next message: its header lines and its payload."""
        while True:
            words = self.lines.readline().split()
            if not words:
                sys.exit("prove: nats-server has closed the connection")
            if words[0] == b"PING":
                self.send("PONG")
            elif words[0] in (b"MSG", b"HMSG"):
                size = int(words[-1])
                data = self.lines.read(size + 2)[:size]
                head = int(words[-2]) if words[0] == b"HMSG" else 0
                return data[:head], data[head:]
            elif words[0] == b"-ERR":
                sys.exit(f"prove: nats-server says {b' '.join(words).decode()}")

    def ask(self, subject, body):
        self.publish(subject, body)
        head, payload = self.message()
        answer = json.loads(payload) if payload else {"error": head.decode()}
        if "error" in answer:
            sys.exit(f"prove: {subject}: {answer['error']}")
        return answer


def stream(address, name):
    """Every message of a stream, oldest first: Nats-Msg-Id and payload."""
    nats = Nats(address)
    left = nats.ask(f"$JS.API.STREAM.INFO.{name}", {})["state"]["messages"]
    config = {"deliver_policy": "all", "ack_policy": "none"}
    consumer = nats.ask(f"$JS.API.CONSUMER.CREATE.{name}", {"stream_name": name, "config": config})["name"]
    while left:
        batch = min(left, BATCH)
        nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.{consumer}", {"batch": batch})
        for _ in range(batch):
            head, payload = nats.message()
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            yield fields["Nats-Msg-Id"], payload
        left -= batch


def moment(milliseconds):
    """As receipts write a time."""
    whole, rest = divmod(int(milliseconds), 1000)
    return f"{datetime.fromtimestamp(whole, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


# What tells a receipt from all others of its vendor: the same from a callback's body and from the receipt in the stream.


def of_easemob(call):
    body = json.loads(call["body"])
    yield body["chat_type"], body["callId"], body["from"], body["payload"]["ack_message_id"]


def easemob(receipt):
    return receipt["event"], receipt["event_id"], receipt["reader"], receipt["message_id"]


def of_tencent(call):
    body = json.loads(call["body"])
    event = body["CallbackCommand"]
    if event == "Group.CallbackAfterReadReceipt":
        for entry in body["GroupMsgReceiptList"]:
            for member in entry["ReadReceiptMembers"]:
                yield event, body["GroupId"], member["Member_Account"], str(entry["MsgSeq"])
    elif event == "C2C.CallbackAfterMsgReport":
        yield event, body["Peer_Account"], body["Report_Account"], moment(body["LastReadTime"] * 1000)
    elif event == "C2C.CallbackAfterMsgReadReceipt":
        for message in body["C2CMsgInfo"]:
            yield event, body["Peer_Account"], body["Operator_Account"], message["MsgKey"]
    elif event == "C2C.CallbackAfterMsgReadAll":
        yield event, None, body["Report_Account"], moment(body["EventTime"])
        for group in body["GroupReadInfo"]:
            yield event, group["GroupId"], body["Report_Account"], str(group["MsgSeq"]), body["EventTime"]
    else:
        raise ValueError(event)


def tencent(receipt):
    event, peer, reader = receipt["event"], receipt["conversation"]["id"], receipt["reader"]
    if "message_seq" in receipt and event == "C2C.CallbackAfterMsgReadAll":
        at = datetime.fromisoformat(receipt["read_at"])
        return event, peer, reader, str(receipt["message_seq"]), round(at.timestamp() * 1000)
    position = receipt.get("message_seq", receipt.get("message_id", receipt.get("up_to_time")))
    return event, peer, reader, str(position)


def of_openim(call):
    body = json.loads(call["body"])
    event = body["callbackCommand"]
    if "conversationID" in body:
        for seq in body["Seqs"] or [None]:
            yield event, body["conversationID"], body["userID"], seq
    else:
        yield event, None, body["sendID"], body["unreadMsgNum"]


def openim(receipt):
    conversation = receipt["extra"].get("conversation_id")
    return receipt["event"], conversation, receipt["reader"], receipt.get("message_seq")


def of_rongcloud(call):
    if call["body"].startswith("{"):
        [body] = json.loads(call["body"])["data"]
        event, reader, to, uid = body["messageType"], body["userId"], body["channelId"], body["messageId"]
    else:
        body = {name: value for name, [value] in parse_qs(call["body"]).items()}
        event, reader, to, uid = body["objectName"], body["fromUserId"], body["toUserId"], body["msgUID"]
    content = json.loads(body["content"])
    if event == "RC:ReadNtf":
        yield event, uid, to, reader, moment(content["lastMessageSendTime"])
        return
    for author, messages in content["receiptMessageDic"].items():
        for message in messages:
            yield event, uid, to, reader, author, message


def rongcloud(receipt):
    known = receipt["event"], receipt["event_id"], receipt["conversation"]["id"], receipt["reader"]
    if receipt["event"] == "RC:ReadNtf":
        return *known, receipt["up_to_time"]
    return *known, receipt["author"], receipt["message_id"]


VENDORS = {
    "easemob": (of_easemob, easemob),
    "tencent": (of_tencent, tencent),
    "openim": (of_openim, openim),
    "rongcloud": (of_rongcloud, rongcloud),
}


def main(address, name, acknowledged, report, callbacks):
    expected, calls = Counter(), Counter()
    with open(acknowledged, encoding="utf-8") as lines:
        for line in lines:
            call = json.loads(line)
            vendor = call["vendor"]
            calls[vendor] += 1
            expected.update((vendor, *facts) for facts in VENDORS[vendor][0](call))
    ids, there = Counter(), Counter()
    for message_id, payload in stream(address, name):
        receipt = json.loads(payload)
        vendor = receipt["vendor"]
        if receipt["id"] != message_id:
            sys.exit(f"prove: a message's id is {message_id}, and its receipt's {receipt['id']}")
        ids[message_id] += 1
        there[(vendor, *VENDORS[vendor][1](receipt))] += 1
    missing, twice = expected - there, [message_id for message_id, times in ids.items() if times > 1]

    with open(report, encoding="utf-8") as text:
        told = json.load(text)
    begun, lost = sum(told["callbacks"].values()), told["vendor_behaviour"]["lost"]
    repeated = sum(count for tries, count in told["vendor_behaviour"]["delivered"].items() if tries != "1")
    print(f"callbacks     {begun} begun, {told['sent']} requests")
    print(f"acknowledged  {calls.total()}: " + ", ".join(f"{vendor} {count}" for vendor, count in calls.items()))
    print(f"              {repeated} of them at a later try; given up by their vendors: {lost or 'none'}")
    print(f"receipts      {expected.total()} in what was acknowledged")
    print(f"stream        {ids.total()} messages, {(there - expected).total()} of them of callbacks whose answer was lost")
    print(f"missing       {missing.total()}", *list(missing)[:3])
    print(f"ids twice     {len(twice)}", *twice[:3])
    if begun != int(callbacks) or calls.total() + sum(lost.values()) != begun:
        sys.exit("prove: not every callback was sent, and acknowledged or given up")
    if missing or twice:
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
