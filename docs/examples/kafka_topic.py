"""Reads what the `kafka` sink produces: kafka_topic.py BROKERS STORE (needs the package `confluent-kafka`).

A conversation stands in one partition, in order; so members of the group may share the partitions.
"""
import json
import sys

from confluent_kafka import Consumer, KafkaException
from store import Store

store = Store(sys.argv[2])
consumer = Consumer({
    "bootstrap.servers": sys.argv[1],
    "group.id": "positions",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,  # offsets are committed after our own commit, never before
})
consumer.subscribe(["readhook.receipts"])
while True:
    messages = consumer.consume(500, timeout=2)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    if messages:
        # The header `ce_id` is the receipt's `id`, too: for consumers that do not look into the value.
        store.take([json.loads(message.value()) for message in messages])
        consumer.commit(asynchronous=False)
