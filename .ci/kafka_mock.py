#!/usr/bin/env python3
"""A broker that librdkafka plays, filled with receipts as the `kafka` sink produces them: kafka_mock.py RECEIPTS.JSONL

Prints its address when all are there, and lives until it is ended. Some come twice.
"""
import json
import signal
import sys

from confluent_kafka import Producer

producer = Producer({"test.mock.num.brokers": 1, "enable.idempotence": True, "partitioner": "murmur2_random"})
for number, line in enumerate(open(sys.argv[1], encoding="utf-8")):
    receipt = json.loads(line)
    conversation = receipt["conversation"]
    key = "/".join((receipt["vendor"], receipt["app"], conversation["type"], conversation["id"] or ""))
    for _ in range(1 + (number % 10 == 0)):
        producer.produce("readhook.receipts", line.rstrip("\n"), key, headers={"ce_id": receipt["id"]})
    producer.poll(0)
if producer.flush(30):
    sys.exit("not all were delivered")
broker = next(iter(producer.list_topics(timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
signal.pause()
