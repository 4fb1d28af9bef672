"""kafka-python, the newest."""
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from common import BOOTSTRAP, Record, main


def record(m):
    return Record(m.partition, m.offset, m.key, m.value, list(m.headers), m.timestamp)


class Member:
    def __init__(self, topic, group):
        self.consumer = KafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False,
                                      auto_offset_reset="earliest")

    def poll(self):
        return [record(m) for ms in self.consumer.poll(timeout_ms=100).values() for m in ms]

    def assigned(self):
        return len(self.consumer.assignment())

    def commit(self):
        self.consumer.commit()

    def close(self):
        self.consumer.close()


class KafkaPython:
    def create(self, topic, partitions):
        admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=3)])
        admin.close()

    def produce(self, topic, records, compression=None, idempotent=False):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", compression_type=compression,
                                 enable_idempotence=idempotent)
        sent = [producer.send(topic, value, key=key, headers=headers, timestamp_ms=timestamp)
                for key, value, headers, timestamp in records]
        producer.flush(30)
        places = [(m.partition, m.offset) for m in (f.get(30) for f in sent)]
        producer.close()
        return places

    def read(self, topic, partition, where, count, timeout_s):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        if where == "start":
            consumer.seek_to_beginning(place)
        elif where == "end":
            consumer.seek_to_end(place)
        elif where[0] == "offset":
            consumer.seek(place, where[1])
        else:
            consumer.seek(place, consumer.offsets_for_times({place: where[1]})[place].offset)
        stop_at = consumer.end_offsets([place])[place] if count is None else None
        records, end = [], time.time() + timeout_s
        while time.time() < end and (count is None or len(records) < count):
            if stop_at is not None and consumer.position(place) >= stop_at:
                break
            records += [record(m) for ms in consumer.poll(timeout_ms=200).values() for m in ms]
        consumer.close()
        return records

    def member(self, topic, group):
        return Member(topic, group)

    def produce_forever(self, topic, stop):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=True)
        sent, n = [], 0
        while not stop.is_set():
            value = b"%d" % n
            sent.append((value, producer.send(topic, value)))
            time.sleep(0.002)
            n += 1
        producer.flush(30)
        return [value for value, future in sent if future.is_done and future.succeeded()]


main(KafkaPython())
