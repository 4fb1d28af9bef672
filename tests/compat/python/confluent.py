"""confluent-kafka: librdkafka, the newest."""
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from common import BOOTSTRAP, Record, main


def record(m):
    return Record(m.partition(), m.offset(), m.key(), m.value(), m.headers() or [], m.timestamp()[1])


class Member:
    def __init__(self, topic, group, assignor):
        self.consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest",
                                  "enable.auto.commit": False, "partition.assignment.strategy": assignor})
        self.consumer.subscribe([topic])

    def poll(self):
        m = self.consumer.poll(0.1)
        if m is None:
            return []
        if m.error():
            raise KafkaException(m.error())
        return [record(m)]

    def assigned(self):
        return len(self.consumer.assignment())

    def commit(self):
        self.consumer.commit(asynchronous=False)

    def close(self):
        self.consumer.close()


class Confluent:
    assignors = {"range": "eager", "cooperative-sticky": "cooperative"}

    def create(self, topic, partitions):
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP})  # must outlive its futures
        for f in admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=3)]).values():
            f.result()

    def produce(self, topic, records, compression=None, idempotent=False):
        places, errors = [], []

        def on_delivery(error, m):
            if error:
                errors.append(error)
            else:
                places.append((m.partition(), m.offset()))

        settings = {"bootstrap.servers": BOOTSTRAP, "acks": "all", "enable.idempotence": idempotent}
        if compression:
            settings["compression.type"] = compression
        producer = Producer(settings)
        for key, value, headers, timestamp in records:
            extra = {"timestamp": timestamp} if timestamp else {}
            producer.produce(topic, value, key, headers=headers, on_delivery=on_delivery, **extra)
        producer.flush(30)
        if errors or len(places) != len(records):
            raise KafkaException(errors[0] if errors else KafkaError(KafkaError._TIMED_OUT))
        return places

    def read(self, topic, partition, where, count, timeout_s):
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "reader", "enable.auto.commit": False,
                             "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        place = TopicPartition(topic, partition)
        if where == "start":
            place.offset = -2
        elif where == "end":
            place.offset = -1
        elif where[0] == "offset":
            place.offset = where[1]
        else:
            place.offset = where[1]
            place = consumer.offsets_for_times([place], timeout=10)[0]
        consumer.assign([place])
        records, end = [], time.time() + timeout_s
        while time.time() < end and (count is None or len(records) < count):
            m = consumer.poll(0.2)
            if m is None:
                continue
            if not m.error():
                records.append(record(m))
            elif m.error().code() == KafkaError._PARTITION_EOF and count is None:
                break
            elif m.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(m.error())
        consumer.close()
        return records

    def member(self, topic, group, assignor="cooperative-sticky"):
        return Member(topic, group, assignor)

    def produce_forever(self, topic, stop):
        acked = []
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "acks": "all", "enable.idempotence": True})
        n = 0
        while not stop.is_set():
            value = b"%d" % n
            producer.produce(topic, value, on_delivery=lambda e, m: None if e else acked.append(m.value()))
            producer.poll(0.002)
            n += 1
        producer.flush(30)
        return acked


main(Confluent())
