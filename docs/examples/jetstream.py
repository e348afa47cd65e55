"""Reads what the `nats` sink publishes, with a durable consumer: jetstream.py URL STORE (needs the package `nats-py`)."""
import asyncio
import json
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from store import Store


async def main():
    store = Store(sys.argv[2])
    connection = await nats.connect(sys.argv[1], max_reconnect_attempts=-1)
    # Made once, on the server, which remembers how far it is. What is not acknowledged within `ack_wait` comes again.
    consumer = None
    while consumer is None:
        try:
            consumer = await connection.jetstream().pull_subscribe(
                "readhook.>", durable="positions", stream="READHOOK",
                config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=1000))
        except NotFoundError:
            # readhook makes the stream when it connects; whoever starts first waits for it.
            await asyncio.sleep(1)
    while True:
        try:
            messages = await consumer.fetch(500, timeout=2)
        except asyncio.TimeoutError:
            continue
        store.take([json.loads(message.data) for message in messages])
        for message in messages:
            await message.ack()  # after the commit, never before


asyncio.run(main())
