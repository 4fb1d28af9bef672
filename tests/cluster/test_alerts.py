#!/usr/bin/env python3
"""test_alerts.py BUILD_DIR: each rule of docs/alerts.yml is false on a healthy cluster and true after what it is there for has been
done to a real one; every metric that a node exports is in docs/metrics.md, and each alert has its place in the runbook.
Skipped (77) without PyYAML.  --write: writes docs/metrics.md anew."""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

try:
    import yaml
except ImportError:
    print("no PyYAML")
    sys.exit(77)

build = os.path.realpath(sys.argv[1])
source = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
directory = tempfile.mkdtemp()
NODES = (1, 2, 3)


def fail(what):
    sys.exit(f"FAILED: {what}; nodes' files are in {directory}")


def flotilla(*arguments, environment=None, check=True):
    result = subprocess.run([f"{build}/flotilla", *arguments], capture_output=True, text=True,
                            env={**os.environ, **(environment or {})})
    if check and result.returncode != 0:
        fail(f"flotilla {' '.join(arguments)}: {result.stderr}")
    return result.stdout


def local(*arguments, **options):
    return flotilla("local", *arguments, "--dir", f"{directory}/c", **options)


# ---- samples, and the part of PromQL that the rules use ----

def scrape(node):
    """[(name, labels, value)], or None when the node does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[node]['http']}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    found = re.findall(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$', text, re.M)
    return [(name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)), float(value)) for name, labels, value in found]


class Moment:
    def __init__(self):
        self.samples = {node: scrape(node) for node in NODES}

    def values(self, node, name):
        return [(labels, value) for n, labels, value in self.samples[node] or [] if n == name]


def compare(left, operator, right):
    return {"==": left == right, "<": left < right, ">": left > right}[operator]


def quantile(before, now, node, name, q):
    buckets = {}
    for sign, moment in ((1, now), (-1, before)):
        for labels, value in moment.values(node, name):
            bound = float(labels["le"].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0) + sign * value
    total = buckets.get(float("inf"), 0)
    if total <= 0:
        return None
    return min(bound for bound, count in buckets.items() if count >= q * total)


def holds(expression, before, now):
    """Whether the rule is true of any node, or of their sum."""
    match = re.fullmatch(r'(.+?) (==|<|>) (\S+)', expression)
    term, operator, right = match.groups()
    for node in NODES:
        if term.startswith("up{"):
            value = 0 if now.samples[node] is None else 1
        elif found := re.fullmatch(r"histogram_quantile\((\S+), rate\((\w+)\[5m\]\)\)", term):
            value = quantile(before, now, node, found[2], float(found[1]))
        elif found := re.fullmatch(r"increase\((\w+)\[5m\]\)", term):
            value = None if now.samples[node] is None else sum(
                v for _, v in now.values(node, found[1])) - sum(v for _, v in before.values(node, found[1]))
        elif found := re.fullmatch(r"sum\((\w+)\)", term):
            value = sum(v for n in NODES for _, v in now.values(n, found[1]))
        else:
            value = next((v for _, v in now.values(node, term)), None)
        bound = next((v for _, v in now.values(node, right)), None) if right[0].isalpha() else float(right)
        if value is not None and bound is not None and compare(value, operator, bound):
            return True
    return False


rules = {rule["alert"]: rule["expr"] for group in yaml.safe_load(open(f"{source}/docs/alerts.yml"))["groups"]
         for rule in group["rules"]}
seen = set()


def expect(before, *alerts, seconds=30):
    """The alerts become true."""
    end = time.monotonic() + seconds
    for alert in alerts:
        while not holds(rules[alert], before, now := Moment()):
            if time.monotonic() > end:
                fail(f"{alert} ({rules[alert]}) does not become true")
            time.sleep(0.05)
        seen.add(alert)
        print(f"{alert}: provoked", flush=True)


def expect_none(*but):
    """No other alert is true for long: within half a minute there is a moment without any."""
    end = time.monotonic() + 30
    while True:
        before = Moment()
        time.sleep(0.3)
        now = Moment()
        left = [alert for alert in rules if alert not in but and holds(rules[alert], before, now)]
        if not left:
            return now
        if time.monotonic() > end:
            fail(f"true of a healthy cluster: {left}")


# ---- provoking ----

def greet(node, data, count):
    """Bytes that are no frames."""
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", ports[node]["client"])) as s:
            s.sendall(data)
            s.settimeout(5)
            try:
                while s.recv(4096):
                    pass
            except OSError:
                pass


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def frame(kind, header):
    return struct.pack("<IIHHIQ", 20 + len(header), len(header), kind, 0, 0, 1) + header


def say_garbage_as_peer(node, cluster_id):
    """A greeting as a fourth node would send it, and a Raft message that is none."""
    hello = b"".join((b"\x08" + varint(1), b"\x10" + varint(1), b"\x1a" + varint(len(cluster_id)) + cluster_id, b"\x20" + varint(77),
                      b"\x28" + varint(node), b"\x31" + struct.pack("<Q", 7)))
    peer_hello, peer_raft = 64, 65  # proto/frame.h
    with socket.create_connection(("127.0.0.1", ports[node]["peer"])) as s:
        s.sendall(frame(peer_hello, hello))
        s.settimeout(5)
        s.recv(4096)
        s.sendall(frame(peer_raft, b"\xff\xff\xff\xff"))
        time.sleep(0.1)  # so that the end of the connection is not the first thing it sees


def load(topic="alerts", count=50):
    subprocess.run([f"{build}/flotilla", "produce", topic, "--bootstrap", bootstrap, "--delivery-timeout", "5s"],
                   input="\n".join(map(str, range(count))), text=True, capture_output=True)


def set_disk(fault):
    if fault is None:
        os.unlink(trigger)
    else:
        with open(trigger + ".new", "w") as f:
            f.write(fault)
        os.rename(trigger + ".new", trigger)


def write_metrics_page(text):
    page = ["# Metrics", "", "What `/metrics` exports, from the node's own help texts (`tests/cluster/test_alerts.py BUILD_DIR --write` prints this",
            "page anew). What to watch and what to do: [operations.md](operations.md); rules: [alerts.yml](alerts.yml).", "",
            "| Metric | Type | Meaning |", "|---|---|---|"]
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    meanings = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    for request in ("fetch", "produce"):  # there once one has failed
        kinds[f"flotilla_{request}_errors_total"] = "counter"
        meanings[f"flotilla_{request}_errors_total"] = f"Failed {request} requests"
    page += [f"| `{name}` | {kinds[name]} | {meanings[name].rstrip('.')} |" for name in sorted(meanings)]
    return "\n".join(page) + "\n"


def check_pages():
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]['http']}/metrics") as answer:
        page = write_metrics_page(answer.read().decode())
    path = f"{source}/docs/metrics.md"
    if "--write" in sys.argv:
        open(path, "w").write(page)
    if open(path).read() != page:
        fail("docs/metrics.md is not what a node exports; test_alerts.py BUILD_DIR --write puts it right")
    runbook = open(f"{source}/docs/operations.md").read()
    for alert in rules:
        if f"| `{alert}` |" not in runbook:
            fail(f"docs/operations.md has no runbook for {alert}")


trigger = f"{directory}/disk"
preload = {"LD_PRELOAD": f"{build}/disk_fault.so", "DISK_FAULT_TRIGGER": trigger}
local("start", "--nodes", "3", "--node-option", "--max-connections=20", environment=preload)
try:
    layout = json.load(open(f"{directory}/c/cluster.json"))
    ports = {n["id"] if "id" in n else i + 1: {"client": n["client_port"], "peer": n["peer_port"], "http": n["http_port"]}
             for i, n in enumerate(layout["nodes"])}
    bootstrap = ",".join(f"127.0.0.1:{ports[n]['client']}" for n in NODES)
    flotilla("topic", "create", "alerts", "--partitions", "3", "--replicas", "3", "--bootstrap", bootstrap)
    load()
    healthy = expect_none("FlotillaRestarted", "FlotillaSlowDisk")
    expect(healthy, "FlotillaRestarted")
    check_pages()

    greet(1, b"GET / HTTP/1.1\r\n\r\n", 15)
    expect(healthy, "FlotillaProtocolErrors")
    crowd = [socket.create_connection(("127.0.0.1", ports[1]["client"])) for _ in range(40)]
    expect(healthy, "FlotillaConnectionsRefused")
    for s in crowd:
        s.close()
    say_garbage_as_peer(1, layout["cluster_id"].encode())
    expect(healthy, "FlotillaCorruptMessages")

    local("kill", "3")
    expect(healthy, "FlotillaNodeDown", "FlotillaNodesMissing", "FlotillaUnderReplicated")
    local("kill", "2")
    expect(healthy, "FlotillaNoController", "FlotillaPartitionsLeaderless")
    local("restart", "2", environment=preload)
    local("restart", "3", environment=preload)
    slow = expect_none("FlotillaRestarted", "FlotillaSlowDisk")

    set_disk("slow /groups/")
    load(count=5)
    expect(slow, "FlotillaSlowDisk")
    set_disk("fdatasync /groups/")
    load(count=5)
    expect(slow, "FlotillaSyncFailed", "FlotillaReplicaFailed")
    set_disk(None)
finally:
    local("stop", "--now", check=False)
missing = set(rules) - seen
if missing:
    fail(f"not provoked: {sorted(missing)}")
shutil.rmtree(directory)
print(f"{len(seen)} alerts")
