#!/usr/bin/env python3
"""check_manifests.py SOURCE FLOTILLAD: the deployment files are sound YAML and agree with the program and with each other."""
import re
import subprocess
import sys

import yaml

source, flotillad = sys.argv[1:3]
settings = {line.split(":")[0].lstrip("# ") for line in
            subprocess.run([flotillad, "--print-defaults"], capture_output=True, text=True, check=True).stdout.splitlines()
            if re.match(r"^#? ?[a-z-]+:", line)}


def check(condition, what):
    if not condition:
        sys.exit("FAILED: " + what)


def check_variables(names, where):
    for name in names:
        setting = name.removeprefix("FLOTILLA_").lower().replace("_", "-")
        check(setting in settings, f"{where}: {name} is no setting")


compose = yaml.safe_load(open(f"{source}/docker/compose.yaml"))
ids = set()
for name, service in compose["services"].items():
    variables = service["environment"]
    check_variables(variables, f"compose.yaml, {name}")
    ids.add(variables["FLOTILLA_NODE_ID"])
    check(f'{variables["FLOTILLA_NODE_ID"]}@{name}:9292' in variables["FLOTILLA_PEERS"], f"compose.yaml: {name} is not in its peers")
    port = variables["FLOTILLA_CLIENT_PORT"]
    check(f"{port}:{port}" in service["ports"], f"compose.yaml: {name} is not reached at the port it advertises")
    volume = service["volumes"][0].split(":")[0]
    check(volume in compose["volumes"], f"compose.yaml: volume {volume}")
check(ids == {1, 2, 3}, "compose.yaml: node ids")

documents = {d["kind"] + "/" + d["metadata"]["name"]: d for d in yaml.safe_load_all(open(f"{source}/docker/kubernetes.yaml"))}
stateful = documents["StatefulSet/flotilla"]["spec"]
pod = stateful["template"]["spec"]
node = pod["containers"][0]
variables = {e["name"]: e["value"] for e in node["env"]}
check_variables(variables, "kubernetes.yaml")
peers = variables["FLOTILLA_PEERS"].split(",")
check(peers == [f'{i + 1}@flotilla-{i}.{stateful["serviceName"]}:9292' for i in range(stateful["replicas"])], "kubernetes.yaml: peers")
check("Service/" + stateful["serviceName"] in documents, "kubernetes.yaml: the headless service")
check(documents["Service/" + stateful["serviceName"]]["spec"]["publishNotReadyAddresses"], "kubernetes.yaml: unready nodes must find each other")
budget = documents["PodDisruptionBudget/flotilla"]["spec"]
check(stateful["replicas"] - budget["maxUnavailable"] > stateful["replicas"] // 2, "kubernetes.yaml: the budget allows to lose the majority")
check(node["livenessProbe"]["httpGet"]["path"] == "/livez" and node["readinessProbe"]["httpGet"]["path"] == "/readyz", "kubernetes.yaml: probes")
check(pod["securityContext"]["runAsNonRoot"], "kubernetes.yaml: root")
labels = stateful["template"]["metadata"]["labels"]
for name, document in documents.items():
    selector = document["spec"].get("selector", {})
    selector = selector.get("matchLabels", selector)
    check(selector.items() <= labels.items(), f"kubernetes.yaml: {name} selects other pods")

dockerfile = open(f"{source}/docker/Dockerfile").read()
check(f'USER {pod["securityContext"]["runAsUser"]}:' in dockerfile, "the image's user is not the pod's")
for name in re.findall(r"FLOTILLA_[A-Z_]+(?==)", dockerfile):
    check_variables([name], "Dockerfile")
check(node["volumeMounts"][0]["mountPath"] in re.findall(r"^VOLUME (\S+)", dockerfile, re.M), "the image's volume is not the pod's")
yaml.safe_load(open(f"{source}/docker/debian/flotilla.yaml"))
yaml.safe_load(open(f"{source}/docs/alerts.yml"))
print("manifests agree")
