"""aiokafka, the newest."""
import asyncio
import threading
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from common import BOOTSTRAP, Record, main

LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def wait(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(90)


def record(m):
    return Record(m.partition, m.offset, m.key, m.value, list(m.headers), m.timestamp)


class Member:
    def __init__(self, topic, group):
        async def start():
            consumer = AIOKafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False,
                                        auto_offset_reset="earliest")
            await consumer.start()
            return consumer
        self.consumer = wait(start())

    def poll(self):
        batches = wait(self.consumer.getmany(timeout_ms=100))
        return [record(m) for ms in batches.values() for m in ms]

    def assigned(self):
        return len(self.consumer.assignment())

    def commit(self):
        wait(self.consumer.commit())

    def close(self):
        wait(self.consumer.stop())


class Aiokafka:
    def create(self, topic, partitions):
        async def run():
            admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
            await admin.start()
            await admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=3)])
            await admin.close()
        wait(run())

    def produce(self, topic, records, compression=None, idempotent=False):
        async def run():
            producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", compression_type=compression,
                                        enable_idempotence=idempotent)
            await producer.start()
            sent = [await producer.send(topic, value, key=key, headers=headers, timestamp_ms=timestamp)
                    for key, value, headers, timestamp in records]
            places = [(m.partition, m.offset) for m in await asyncio.gather(*sent)]
            await producer.stop()
            return places
        return wait(run())

    def read(self, topic, partition, where, count, timeout_s):
        async def run():
            consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP)
            await consumer.start()
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            if where == "start":
                await consumer.seek_to_beginning(place)
            elif where == "end":
                await consumer.seek_to_end(place)
            elif where[0] == "offset":
                consumer.seek(place, where[1])
            else:
                found = await consumer.offsets_for_times({place: where[1]})
                consumer.seek(place, found[place].offset)
            stop_at = (await consumer.end_offsets([place]))[place] if count is None else None
            records, end = [], time.time() + timeout_s
            while time.time() < end and (count is None or len(records) < count):
                if stop_at is not None and await consumer.position(place) >= stop_at:
                    break
                batches = await consumer.getmany(timeout_ms=200)
                records += [record(m) for ms in batches.values() for m in ms]
            await consumer.stop()
            return records
        return wait(run())

    def member(self, topic, group):
        return Member(topic, group)

    def produce_forever(self, topic, stop):
        async def run():
            producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=True)
            await producer.start()
            sent, n = [], 0
            while not stop.is_set():
                value = b"%d" % n
                sent.append((value, await producer.send(topic, value)))
                await asyncio.sleep(0.002)
                n += 1
            await producer.flush()
            await producer.stop()
            return [v for v, f in sent if f.done() and not f.cancelled() and f.exception() is None]
        return wait(run())


main(Aiokafka())
