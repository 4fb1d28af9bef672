"""A second client of the native protocol, written from docs/protocol.md, docs/disk-format.md and
proto/client.proto alone, with nothing but Python's standard library. It shows that they suffice, and fails when
the node and the documents part ways. Arguments: the path of client.proto, HOST:PORT."""

import re
import socket
import struct
import sys

HELLO, ERROR, METADATA, PRODUCE, FETCH, LIST_OFFSET = 1, 2, 3, 4, 5, 6
SUBSCRIBE, CREDIT, UNSUBSCRIBE, PUSH, INIT_PRODUCER, CREATE_TOPIC = 7, 8, 9, 10, 11, 12
COMMIT_OFFSETS, FETCH_OFFSETS, PING = 16, 17, 20
NOT_LEADER, UNKNOWN_TOPIC, OUT_OF_ORDER_SEQUENCE, OFFSET_OUT_OF_RANGE = -25, -29, -37, -36
RESPONSE = 1


# ---- protobuf, from the .proto file itself ----


def read_schema(path):
    schema, fields = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.split("//")[0].strip()
        if match := re.match(r"message (\w+) \{", line):
            fields = schema[match[1]] = {}
        elif match := re.match(r"(repeated )?(\w+) (\w+) = (\d+)", line):
            fields[match[3]] = (int(match[4]), match[2], bool(match[1]))
    return schema


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def zigzag(value):
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value):
    return value >> 1 ^ -(value & 1)


def encode(schema, message, values):
    out = b""
    for name, value in values.items():
        number, kind, repeated = schema[message][name]
        for item in value if repeated else [value]:
            if kind in ("string", "bytes") or kind in schema:
                if kind in schema:
                    item = encode(schema, kind, item)
                elif kind == "string":
                    item = item.encode()
                out += varint(number << 3 | 2) + varint(len(item)) + item
            else:
                out += varint(number << 3) + varint(zigzag(item) if kind[0] == "s" else int(item))
    return out


def decode_scalar(kind, value):
    if kind[0] == "s":
        return unzigzag(value)
    if kind.startswith("int") and value >> 63:
        return value - (1 << 64)
    return value


def decode(schema, message, data):
    by_number = {f[0]: (name, f[1], f[2]) for name, f in schema[message].items()}
    values = {}
    for name, (_, kind, repeated) in schema[message].items():
        values[name] = [] if repeated else {} if kind in schema else "" if kind == "string" else b"" if kind == "bytes" else 0
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            raw, at = read_varint(data, at)
        elif wire == 1:
            raw, at = data[at : at + 8], at + 8
        else:
            assert wire == 2, f"wire type {wire}"
            size, at = read_varint(data, at)
            raw, at = data[at : at + size], at + size
        name, kind, repeated = by_number.get(tag >> 3, (None, None, False))
        if name is None:
            continue
        if kind in schema:
            items = [decode(schema, kind, raw)]
        elif kind == "string":
            items = [raw.decode()]
        elif kind == "bytes":
            items = [raw]
        elif wire == 2:  # packed
            items, position = [], 0
            while position < len(raw):
                value, position = read_varint(raw, position)
                items.append(decode_scalar(kind, value))
        else:
            items = [decode_scalar(kind, raw)]
        values[name] = values[name] + items if repeated else items[0]
    return values


# ---- the record batch ----


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def build_batch(records, timestamp=1_700_000_000_000, producer=(-1, -1, -1)):
    body = b""
    for delta, (key, value) in enumerate(records):
        record = b"\0" + varint(0) + varint(zigzag(delta))
        for part in (key, value):
            record += varint(zigzag(-1)) if part is None else varint(zigzag(len(part))) + part
        record += varint(0)
        body += varint(zigzag(len(record))) + record
    covered = struct.pack(">hiqqqhii", 0, len(records) - 1, timestamp, timestamp, *producer, len(records)) + body
    rest = struct.pack(">ibI", -1, 2, crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(rest)) + rest


def read_batches(data):
    at = 0
    while at < len(data):
        offset, size = struct.unpack_from(">qi", data, at)
        batch = data[at + 12 : at + 12 + size]
        _, magic, crc = struct.unpack_from(">ibI", batch)
        assert magic == 2 and crc == crc32c(batch[9:]), "a damaged batch was served"
        (count,) = struct.unpack_from(">i", batch, 45)
        position = 49
        for _ in range(count):
            size_of_record, position = read_varint(batch, position)
            end = position + unzigzag(size_of_record)
            position += 1
            _, position = read_varint(batch, position)
            delta, position = read_varint(batch, position)
            parts = []
            for _ in range(2):
                length, position = read_varint(batch, position)
                length = unzigzag(length)
                parts.append(None if length < 0 else batch[position : position + length])
                position += max(length, 0)
            yield offset + unzigzag(delta), parts[0], parts[1]
            position = end
        at += 12 + size


def murmur2(data):
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    for at in range(0, len(data) & ~3, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    tail = data[len(data) & ~3 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


# ---- a connection ----


class Connection:
    def __init__(self, schema, host, port):
        self.schema, self.correlation, self.kept = schema, 0, []
        self.socket = socket.create_connection((host, port), timeout=30)
        hello = self.call(HELLO, "Hello", {"min_version": 1, "max_version": 1, "software": "protocol_client"})
        assert hello["version"] == 1, hello
        self.node_id = hello["node_id"]

    def send(self, kind, message, values, payload=b"", unknown=b""):
        self.correlation += 1
        header = encode(self.schema, message, values) + unknown
        head = struct.pack("<IIHHIQ", 20 + len(header) + len(payload), len(header), kind, 0, 0, self.correlation)
        self.socket.sendall(head + header + payload)
        return self.correlation

    def receive_exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the node closed the connection")
            data += part
        return data

    def receive(self, correlation, kind):
        """The frame that answers `correlation`; those that come before it are kept."""
        for kept in self.kept:
            if kept[:2] == (correlation, kind):
                self.kept.remove(kept)
                return kept[2], kept[3]
        while True:
            length, header_length, got, _, _, of = struct.unpack("<IIHHIQ", self.receive_exactly(24))
            data = self.receive_exactly(length - 20)
            frame = (of, got, data[:header_length], data[header_length:])
            if frame[:2] == (correlation, kind):
                return frame[2], frame[3]
            assert got != ERROR, decode(self.schema, "HelloResponse", frame[2])["status"]
            self.kept.append(frame)

    def answer(self, correlation, kind, name):
        header, payload = self.receive(correlation, kind)
        values = decode(self.schema, name + "Response", header)
        values["payload"] = payload
        return values

    def try_call(self, kind, name, values, payload=b"", unknown=b""):
        return self.answer(self.send(kind, name + "Request", values, payload, unknown), kind, name)

    def call(self, *arguments, **more):
        values = self.try_call(*arguments, **more)
        assert values["status"].get("error", 0) == 0, values["status"]
        return values


class Client:
    def __init__(self, schema, host, port):
        self.schema = schema
        self.first = Connection(schema, host, port)
        self.connections = {self.first.node_id: self.first}
        self.metadata = None

    def look(self, *topics):
        self.metadata = self.first.call(METADATA, "Metadata", {"topics": topics})
        return self.metadata["topics"]

    def node(self, node_id):
        if node_id not in self.connections:
            info = next(n for n in self.metadata["nodes"] if n["id"] == node_id)
            self.connections[node_id] = Connection(self.schema, info["host"], info["port"])
            assert self.connections[node_id].node_id == node_id
        return self.connections[node_id]

    def leader(self, topic, partition):
        while True:
            info = self.look(topic)[0]
            for p in info["partitions"]:
                if p["index"] == partition and p["leader_id"] != 0:
                    return self.node(p["leader_id"]), info["id"]

    def coordinator(self, group):
        """The topic of committed offsets is created on the way when nobody has committed yet."""
        info = self.look("__consumer_offsets")[0]
        return self.leader("__consumer_offsets", crc32c(group.encode()) % len(info["partitions"]))[0]


# ---- what the documents promise ----


def check_produce_and_read(client):
    topic = client.first.call(CREATE_TOPIC, "CreateTopic", {"name": "from.the.book", "partitions": 3, "replicas": 3})
    orders = [(f"customer-{i % 17}".encode(), f"order {i}".encode()) for i in range(300)]
    for partition in range(3):
        mine = [o for o in orders if (murmur2(o[0]) & 0x7FFFFFFF) % 3 == partition]
        node, topic_id = client.leader("from.the.book", partition)
        assert topic_id == topic["id"]
        where = {"topic_id": topic_id, "partition": partition}
        # Pipelined: all sent before the first answer is read. An unknown field is passed over.
        sent = [
            node.send(PRODUCE, "ProduceRequest", {**where, "acks": -1, "timeout_ms": 10000}, build_batch([o]),
                      unknown=varint(999 << 3) + varint(7) + varint(1000 << 3 | 2) + varint(3) + b"new")
            for o in mine
        ]
        for offset, correlation in enumerate(sent):
            answer = node.answer(correlation, PRODUCE, "Produce")
            assert answer["status"].get("error", 0) == 0 and answer["base_offset"] == offset, answer
            assert answer["durability"] == -1
        end = node.call(LIST_OFFSET, "ListOffset", {**where, "timestamp_ms": -1})
        assert end["offset"] == len(mine)
        read, at = [], 0
        while at < end["offset"]:
            fetched = node.call(FETCH, "Fetch", {**where, "offset": at})
            read += [r for r in read_batches(fetched["payload"]) if r[0] >= at]
            at = fetched["next_offset"]
        assert read == [(i, *o) for i, o in enumerate(mine)], "not what was produced"
        beyond = node.try_call(FETCH, "Fetch", {**where, "offset": len(mine) + 1})
        assert beyond["status"]["error"] == OFFSET_OUT_OF_RANGE
        other = next(n for n in client.metadata["nodes"] if n["id"] != node.node_id)
        refused = client.node(other["id"]).try_call(PRODUCE, "Produce", {**where, "acks": -1}, build_batch([(None, b"x")]))
        assert refused["status"]["error"] == NOT_LEADER and refused["status"]["leader_id"] == node.node_id, refused


def check_idempotence(client):
    node, topic_id = client.leader("from.the.book", 0)
    where = {"topic_id": topic_id, "partition": 0, "acks": -1}
    producer = client.first.call(INIT_PRODUCER, "InitProducer", {})
    identity = (producer["producer_id"], producer["producer_epoch"])
    batch = build_batch([(b"k", b"once"), (b"k", b"only")], producer=(*identity, 0))
    first = node.call(PRODUCE, "Produce", where, batch)
    again = node.call(PRODUCE, "Produce", where, batch)
    assert first["base_offset"] == again["base_offset"], "a repeat was written twice"
    gap = node.try_call(PRODUCE, "Produce", where, build_batch([(b"k", b"v")], producer=(*identity, 5)))
    assert gap["status"]["error"] == OUT_OF_ORDER_SEQUENCE
    following = node.call(PRODUCE, "Produce", where, build_batch([(b"k", b"next")], producer=(*identity, 2)))
    assert following["base_offset"] == first["base_offset"] + 2


def check_subscription(client):
    node, topic_id = client.leader("from.the.book", 1)
    where = {"topic_id": topic_id, "partition": 1}
    end = node.call(LIST_OFFSET, "ListOffset", {**where, "timestamp_ms": -1})["offset"]
    node.call(SUBSCRIBE, "Subscribe", {**where, "subscription": 77, "offset": 3, "credit_bytes": 100})
    read, at, grants = [], 3, 0
    while at < end:
        header, payload = node.receive(0, PUSH)
        push = decode(client.schema, "Push", header)
        assert push["subscription"] == 77 and push["status"].get("error", 0) == 0
        read += [offset for offset, _, _ in read_batches(payload) if offset >= at]
        at = push["next_offset"]
        if payload:
            node.send(CREDIT, "Credit", {"subscription": 77, "bytes": len(payload)})
            grants += 1
    assert read == list(range(3, end)) and grants > 1, (read, grants)
    node.call(UNSUBSCRIBE, "Unsubscribe", {"subscription": 77})


def check_offsets(client):
    topic_id = client.look("from.the.book")[0]["id"]
    coordinator = client.coordinator("the-readers")
    offset = {"topic_id": topic_id, "partition": 1, "offset": 42, "leader_epoch": 1, "metadata": "page 42"}
    coordinator.call(COMMIT_OFFSETS, "CommitOffsets", {"group": "the-readers", "offsets": [offset]})
    got = coordinator.call(FETCH_OFFSETS, "FetchOffsets", {"group": "the-readers"})["offsets"]
    assert len(got) == 1 and {name: got[0][name] for name in offset} == offset, got


def check_errors(client):
    missing = client.look("nobody.has.made.this")[0]
    assert missing["status"]["error"] == UNKNOWN_TOPIC and missing["status"]["message"]
    client.first.call(PING, "Ping", {})
    correlation = client.first.send(60, "PingRequest", {})
    header, _ = client.first.receive(correlation, ERROR)
    status = decode(client.schema, "PingResponse", header)["status"]
    assert status["error"] != 0 and status["message"]
    client.first.call(PING, "Ping", {})


def main():
    schema = read_schema(sys.argv[1])
    host, port = sys.argv[2].rsplit(":", 1)
    client = Client(schema, host, int(port))
    for check in (check_produce_and_read, check_idempotence, check_subscription, check_offsets, check_errors):
        check(client)
        print(f"{check.__name__[6:].replace('_', ' ')}: as documented")


main()
