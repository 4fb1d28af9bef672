"""What every Python client has to show. A client is a class with these methods:

    create(topic, partitions)
    produce(topic, records, compression=None, idempotent=False) -> [(partition, offset)]
        records: [(key, value, headers, timestamp_ms)], each of the last three may be None
    read(topic, partition, where, count, timeout_s) -> [Record]
        where: "start", "end", ("offset", n) or ("time", ms); fewer than count when the time is over
    member(topic, group) -> object with poll() -> [Record], assigned() -> count, commit(), close()
    produce_forever(topic, stop) -> values that were acknowledged
    assignors: where it has them, {name: "eager" or "cooperative"}; member() then takes assignor=name

Prints "pass FEATURE" or "fail FEATURE REASON" for each.
"""
import collections
import os
import subprocess
import sys
import threading
import time
import traceback

Record = collections.namedtuple("Record", "partition offset key value headers timestamp_ms")
BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
PREFIX = os.environ.get("COMPAT_PREFIX", "compat")
PARTITIONS = 3


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def values(count, tag):
    return [(None, b"%s-%d" % (tag, i), None, None) for i in range(count)]


class Suite:
    def __init__(self, client):
        self.client = client
        self.topics = 0

    def topic(self, partitions=PARTITIONS):
        self.topics += 1
        name = "%s-%d" % (PREFIX, self.topics)
        self.client.create(name, partitions)
        return name

    def read_all(self, topic, count, partitions=PARTITIONS, timeout_s=15):
        """Reads until `count` records are there, or no more come."""
        records = []
        for partition in range(partitions):
            records += self.client.read(topic, partition, "start", None, timeout_s)
        check(len(records) == count, "%d records instead of %d" % (len(records), count))
        return records

    # ---- features ----

    def create(self):
        topic = self.topic()
        self.client.produce(topic, values(1, b"x"))

    def produce(self):
        topic = self.topic()
        sent = values(1000, b"plain")
        self.client.produce(topic, sent)
        got = self.read_all(topic, 1000)
        check({r.value for r in got} == {v[1] for v in sent}, "other values than were sent")

    def keys(self):
        topic = self.topic()
        sent = [(b"key-%d" % (i % 10), b"%d" % i, None, None) for i in range(500)]
        self.client.produce(topic, sent)
        place, last = {}, {}
        for r in self.read_all(topic, 500):
            check(place.setdefault(r.key, r.partition) == r.partition, "one key in two partitions")
            check(last.get(r.key, -1) < int(r.value), "a key's records are out of order")
            last[r.key] = int(r.value)
        check(len(place) == 10, "%d keys instead of 10" % len(place))

    def codec(self, name):
        topic = self.topic()
        sent = [(None, b"%s-%d-" % (name.encode(), i) + b"abc" * 50, None, None) for i in range(300)]
        self.client.produce(topic, sent, compression=name)
        check({r.value for r in self.read_all(topic, 300)} == {v[1] for v in sent}, "other values than were sent")

    def idempotence(self):
        topic = self.topic()
        sent = values(2000, b"once")
        self.client.produce(topic, sent, idempotent=True)
        got = self.read_all(topic, 2000)
        check(len({r.value for r in got}) == 2000, "repeated records")

    def headers(self):
        topic = self.topic(1)
        self.client.produce(topic, [(b"k", b"v", [("a", b"1"), ("b", b"\x00\xff")], None)])
        got = self.read_all(topic, 1, 1)[0]
        check(list(got.headers) == [("a", b"1"), ("b", b"\x00\xff")], "headers %r" % (got.headers,))

    def timestamps(self):
        topic = self.topic(1)
        self.client.produce(topic, [(None, b"v", None, 1600000000123)])
        got = self.read_all(topic, 1, 1)[0]
        check(got.timestamp_ms == 1600000000123, "timestamp %r" % got.timestamp_ms)

    def end(self):
        topic = self.topic(1)
        self.client.produce(topic, values(10, b"old"))
        found = []
        reader = threading.Thread(target=lambda: found.extend(self.client.read(topic, 0, "end", 1, 20)))
        reader.start()
        for i in range(100):
            self.client.produce(topic, values(1, b"new"))
            reader.join(0.2)
            if not reader.is_alive():
                break
        check(found and found[0].value.startswith(b"new"), "read %r" % (found[:1],))

    def offset(self):
        topic = self.topic(1)
        self.client.produce(topic, values(100, b"n"))
        got = self.client.read(topic, 0, ("offset", 42), 3, 15)
        check([r.offset for r in got[:3]] == [42, 43, 44], "offsets %r" % [r.offset for r in got[:3]])

    def time(self):
        topic = self.topic(1)
        base = 1600000000000
        self.client.produce(topic, [(None, b"%d" % i, None, base + 1000 * i) for i in range(50)])
        got = self.client.read(topic, 0, ("time", base + 20500), 1, 15)
        check(got and got[0].value == b"21", "first record %r" % (got[:1],))

    def group(self, **how):
        topic = self.topic(6)
        group = topic + "-group"
        members = []
        try:
            for size in (1, 3, 1):
                while len(members) < size:
                    members.append(MemberThread(self.client.member(topic, group, **how)))
                while len(members) > size:
                    members.pop().close()
                wait_for(lambda: sorted(m.assigned for m in members) == [6 // size] * size, 60,
                         lambda: "assigned %r to %d members" % ([m.assigned for m in members], size))
        finally:
            for m in members:
                m.close()

    def resume(self):
        topic = self.topic(1)
        group = topic + "-group"
        self.client.produce(topic, values(100, b"r"))
        first = self.take(topic, group, 1)
        self.client.produce(topic, values(50, b"s"))
        rest = self.take(topic, group, 150 - len(first))
        check([r.offset for r in first + rest] == list(range(150)), "not each record once, in order")

    def take(self, topic, group, at_least):
        member = self.client.member(topic, group)
        got, end = [], time.time() + 60
        while len(got) < at_least and time.time() < end:
            got += member.poll()
        member.commit()
        member.close()
        check(len(got) >= at_least, "%d records of %d" % (len(got), at_least))
        return got

    def coordinator(self):
        """A member goes on when its coordinator has died, and its next commit counts."""
        topic = self.topic(1)
        group = topic + "-group"
        self.client.produce(topic, values(100, b"c"))
        member = self.client.member(topic, group)
        got, killed, end = set(), False, time.time() + 90
        while len(got) < 150 and time.time() < end:
            got.update(r.offset for r in member.poll())
            if len(got) == 100 and not killed:
                subprocess.run([os.environ["COMPAT_KILL"], "--coordinator", group], check=True, stdout=subprocess.DEVNULL)
                self.client.produce(topic, values(50, b"d"))
                killed = True
        check(len(got) == 150, "%d records of 150" % len(got))
        member.commit()
        member.close()
        self.client.produce(topic, values(10, b"e"))
        rest = self.take(topic, group, 10)
        check(rest[0].offset == 150, "the next member begins at %d" % rest[0].offset)

    def kill(self):
        topic = self.topic(1)
        stop, acked = threading.Event(), []
        producer = threading.Thread(target=lambda: acked.extend(self.client.produce_forever(topic, stop)))
        producer.start()
        time.sleep(2)
        subprocess.run([os.environ["COMPAT_KILL"], topic], check=True, stdout=subprocess.DEVNULL)
        time.sleep(4)
        stop.set()
        producer.join(60)
        check(not producer.is_alive(), "the producer hangs")
        check(len(acked) > 10, "only %d acknowledged" % len(acked))
        got = {r.value for r in self.client.read(topic, 0, "start", None, 15)}
        lost = [v for v in acked if v not in got]
        check(not lost, "%d of %d acknowledged records lost" % (len(lost), len(acked)))


class MemberThread:
    def __init__(self, member):
        self.member = member
        self.assigned = 0
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            self.member.poll()
            self.assigned = self.member.assigned()
        self.member.close()

    def close(self):
        self.stopping = True
        self.thread.join(30)


def wait_for(condition, seconds, describe):
    end = time.time() + seconds
    while not condition():
        check(time.time() < end, describe())
        time.sleep(0.05)


def features(suite):
    yield "create", suite.create
    yield "produce", suite.produce
    yield "keys", suite.keys
    for name in ("gzip", "snappy", "lz4", "zstd"):
        yield name, lambda name=name: suite.codec(name)
    yield "idempotence", suite.idempotence
    yield "headers", suite.headers
    yield "timestamps", suite.timestamps
    yield "end", suite.end
    yield "offset", suite.offset
    yield "time", suite.time
    yield "group", suite.group
    for assignor, name in getattr(suite.client, "assignors", {}).items():
        yield name, lambda assignor=assignor: suite.group(assignor=assignor)
    yield "resume", suite.resume
    yield "coordinator", suite.coordinator
    yield "kill", suite.kill


def main(client):
    wanted = set(os.environ.get("COMPAT_FEATURES", "").split()) or None
    failed = False
    for name, run in features(Suite(client)):
        if wanted is not None and name not in wanted:
            continue
        try:
            run()
            print("pass %s" % name, flush=True)
        except NotImplementedError as e:
            print("none %s %s" % (name, e), flush=True)
        except Exception as e:
            failed = True
            print("fail %s %s: %s" % (name, type(e).__name__, str(e).replace("\n", " ")), flush=True)
            if not isinstance(e, Failure):
                traceback.print_exc()
    os._exit(1 if failed else 0)
