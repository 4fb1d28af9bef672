"""librdkafka and kafka-python as they meet a node's quotas: both learn of them, neither loses a record.

  quota.py    starts a node of its own with quotas
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Producer
from kafka import KafkaConsumer

QUOTA = 1 << 20
RECORDS, VALUE = 400, os.urandom(10000)
SECONDS = RECORDS * len(VALUE) / QUOTA - 1  # the first second's worth is free
TOPIC = "metered"


def local(command, directory, *more):
    done = subprocess.run(["flotilla", "local", command, "--dir", directory, *more], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def start(directory):
    local("start", directory, "--nodes", "1", "--node-option", "--kafka-produce-bytes-per-second=%d" % QUOTA, "--node-option",
          "--kafka-fetch-bytes-per-second=%d" % QUOTA)
    lines = local("env", directory).splitlines()
    return dict(line[len("export "):].split("=", 1) for line in lines)["KAFKA_BOOTSTRAP"]


def produce(bootstrap):
    """What the client was told to wait, in seconds."""
    told, errors = [], []
    producer = Producer({"bootstrap.servers": bootstrap, "throttle_cb": lambda event: told.append(event.throttle_time),
                         "enable.idempotence": True, "linger.ms": 5})
    for _ in range(RECORDS):
        producer.produce(TOPIC, VALUE, partition=0, on_delivery=lambda error, _: errors.append(error) if error else None)
        producer.poll(0)
    missing = producer.flush(60)
    assert not missing and not errors, "%d records missing, %s" % (missing, errors[:1])
    return max(told, default=0)


def consume(bootstrap):
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20000)
    values = [next(consumer).value for _ in range(RECORDS)]
    assert values == [VALUE] * RECORDS
    told = consumer.metrics()["consumer-metrics"]["throttle-time-max"]
    consumer.close()
    return told


def tell(feature, run, bootstrap):
    begin = time.monotonic()
    told = run(bootstrap)
    elapsed = time.monotonic() - begin
    if told > 0 and elapsed > 0.8 * SECONDS:
        print("pass %s" % feature, flush=True)
        return True
    print("fail %s told to wait %s s, took %.1f s" % (feature, told, elapsed), flush=True)
    return False


directory = tempfile.mkdtemp(prefix="flotilla-quota-")
try:
    bootstrap = start(os.path.join(directory, "c"))
    results = [tell("produce", produce, bootstrap), tell("fetch", consume, bootstrap)]
finally:
    local("destroy", os.path.join(directory, "c"))
    shutil.rmtree(directory)
sys.exit(0 if all(results) else 1)
