"""A Zipkin server with its Kafka collector, as it comes, that is down while spans arrive.

  zipkin.py ZIPKIN_JAR

down:    all spans that came before it ran are found once it does
restart: what came while it was down again is found too, and nothing is read twice (its storage begins empty each time)
"""
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
SPANS = 300
WAIT_S = 180  # a busy machine takes its time to start a server


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Zipkin:
    def __init__(self, jar):
        self.port = free_port()
        environment = dict(os.environ, KAFKA_BOOTSTRAP_SERVERS=BOOTSTRAP, QUERY_PORT=str(self.port), KAFKA_STREAMS="3")
        self.process = subprocess.Popen(["java", "-Xmx256m", "-jar", jar, "--logging.level.root=ERROR"], env=environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def traces(self):
        """The ids of all traces; empty while it does not answer."""
        url = "http://127.0.0.1:%d/api/v2/traces?limit=100000&lookback=86400000" % self.port
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return [trace[0]["traceId"] for trace in json.load(answer)]
        except OSError:
            return []

    def wait(self, wanted):
        end = time.time() + WAIT_S
        while len(self.traces()) < len(wanted) and time.time() < end:
            time.sleep(0.2)
        return sorted(self.traces()) == sorted(wanted)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def send_spans(first):
    """One trace per message, as Zipkin's own senders encode them; returns their ids."""
    now_us = int(time.time() * 1e6)
    ids = ["a%031x" % (first + i) for i in range(SPANS)]
    lines = [json.dumps([{"traceId": id, "id": "%016x" % 1, "name": "get /", "kind": "SERVER", "timestamp": now_us, "duration": 1000,
                          "localEndpoint": {"serviceName": "shop"}}]) for id in ids]
    subprocess.run(["kcat", "-b", BOOTSTRAP, "-P", "-t", "zipkin", "-X", "acks=all"], input="\n".join(lines), text=True, check=True)
    return ids


def tell(feature, good, zipkin):
    print("pass %s" % feature if good else "fail %s %d traces of %d" % (feature, len(zipkin.traces()), SPANS), flush=True)
    return good


def round_of(feature, jar, first):
    ids = send_spans(first)
    zipkin = Zipkin(jar)
    good = tell(feature, zipkin.wait(ids), zipkin)
    zipkin.stop()
    return good


def main(jar):
    good = round_of("down", jar, 1) and round_of("restart", jar, 1 + SPANS)
    sys.exit(0 if good else 1)


main(sys.argv[1])
