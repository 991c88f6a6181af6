"""Looks at what deploys Castgate as the tools that it is for would.

usage: python3 deployment.py compose | compose-environment SERVICE NAME=VALUE… | chart | chart-environment

`compose` and `chart` print what is wrong, a line each, and fail if there is anything. The other two print JSON: the environment that
a node gets there.
"""

import json
import re
import sys
from pathlib import Path

import yaml

DOCKER = Path(__file__).parents[2] / "docker"
CHART = DOCKER / "helm" / "castgate"

# The oldest that Chart.yaml allows, and the newest that the schemas know.
KUBERNETES = ("1.28", "1.35")

# Kinds of operators, for which there are no schemas here.
FOREIGN = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}

# Values of one who changes much, each with what must come of it.
VALUES = {
    "as it is": {},
    "a Service for each node": {
        "replicas": 3,
        "rtc": {"mode": "loadBalancer", "loadBalancer": {"addresses": [f"203.0.113.{n}" for n in range(3)]}},
    },
    "addresses behind a translator": {"rtc": {"hostPort": {"publicAddresses": {"10.0.0.4": "203.0.113.4"}}}},
    "scaled by the adapter": {
        "autoscaling": {"kind": "prometheusAdapter", "maxReplicas": 12},
        "monitoring": {"serviceMonitor": True, "alerts": True},
        "drain": {"seconds": 300},
    },
    "scaled by KEDA": {"autoscaling": {"kind": "keda"}},
    "bare": {
        "ingress": {"enabled": False},
        "nodeUrl": "https://$(SERVER_ID).internal.example.org",
        "networkPolicy": {"enabled": False},
        "secrets": {"keys": ["JWT_SECRET"]},
    },
}

# Values that must be refused, each with a word of why.
REFUSED = {
    "a secret among the variables": ({"config": {"JWT_SECRET": "x" * 32}}, "JWT_SECRET"),
    "the password of Redis among the variables": ({"config": {"REDIS_URL": "redis://:x@redis"}}, "REDIS_URL"),
    "a variable that the chart sets": ({"config": {"RTC_PORT": "1"}}, "RTC_PORT"),
    "a number for a variable": ({"config": {"WORKERS": 3}}, "WORKERS"),
    "a word that nobody knows": ({"replica": 3}, "replica"),
    "too few addresses": ({"rtc": {"mode": "loadBalancer", "loadBalancer": {"addresses": ["203.0.113.1"]}}}, "2 nodes"),
    "nodes that nobody reaches": ({"ingress": {"enabled": False}}, "nodeUrl"),
    "a budget that lets all go": ({"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable"),
    "fewer at most than at least": ({"autoscaling": {"kind": "keda", "minReplicas": 9}}, "minReplicas"),
}


def compose_file():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def look_at_compose():
    """The schema of the specification, and that everything which is named is there."""
    import check_jsonschema.builtin_schemas as schemas
    import jsonschema

    file = compose_file()
    for error in jsonschema.Draft7Validator(schemas.get_builtin_schema("vendor.compose-spec")).iter_errors(file):
        yield f"{error.json_path}: {error.message}"
    for kind in ("networks", "volumes", "secrets"):
        used = set()
        for name, service in file["services"].items():
            for entry in service.get(kind, []):
                source = entry.split(":")[0] if isinstance(entry, str) else entry["source"]
                if kind != "volumes" or not source.startswith((".", "/", "$")):
                    used.add(source)
                if kind == "volumes" and source.startswith("./") and not (DOCKER / source).exists():
                    yield f"{name}: there is no {source}"
        for name in used ^ set(file[kind]):
            yield f"{kind}: {name} is used or described, and not both"
    for name, service in file["services"].items():
        if re.search(r"(:latest|^[^:]+)$", service["image"]) and "$" not in service["image"]:
            yield f"{name}: its image has no version"
        if service.get("privileged"):
            yield f"{name}: it may do everything"
        # In front of the users there is nginx only; media and TURN go by themselves.
        for port in service.get("ports", []):
            if name not in ("nginx", "node-1", "node-2") and not port.startswith("127.0.0.1:"):
                yield f"{name}: {port} is open to everybody"
    nodes = [service for name, service in file["services"].items() if name.startswith("node-")]
    addresses = {
        f"{node['environment']['SERVER_ID']}={node['networks']['fleet']['ipv4_address']}" for node in nodes
    }
    if addresses != set(file["services"]["nginx"]["extra_hosts"]):
        yield "nginx looks for nodes where they are not"
    for key in ("SERVER_ID", "PUBLIC_URL", "RTC_PORT"):
        if len({node["environment"][key] for node in nodes}) != len(nodes):
            yield f"two nodes have one {key}"
    for node in nodes:
        port, environment = node["environment"]["RTC_PORT"], node["environment"]
        if sorted(node["ports"]) != [f"{port}:{port}/tcp", f"{port}:{port}/udp"]:
            yield f"{environment['SERVER_ID']}: the ports outside are not those of its candidates"
        if int(node["stop_grace_period"].rstrip("s")) * 1000 <= int(environment["SHUTDOWN_TIMEOUT_MS"]):
            yield f"{environment['SERVER_ID']}: it is killed before it has drained"


def compose_environment(service, given):
    values = dict(pair.split("=", 1) for pair in given)

    def replace(match):
        name, operator, other = match.group(1), match.group(2), match.group(3)
        value = values.get(name, "")
        if not value and operator == ":?":
            raise SystemExit(f"{name} is not set: {other}")
        return value or (other if operator == ":-" else "")

    environment = compose_file()["services"][service]["environment"]
    return {
        name: re.sub(r"\$\{(\w+)(?:(:[?-])([^}]*))?\}", replace, value.replace("$$", "$"))
        for name, value in environment.items()
    }


def rendered(values):
    """What Helm makes of the chart: each file's documents."""
    import helm_python as helm

    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="castgate", namespace="shows")
    return [
        document
        for path, text in files.items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def look_at_chart():
    import helm_python as helm
    import kubernetes_validate

    for message in helm.lint(str(CHART))["messages"]:
        if message["severity"] > 1:
            yield f"lint: {message}"
    seen = set()
    for what, values in VALUES.items():
        documents = rendered(values)
        for document in documents:
            name = f"{what}: {document['kind']} {document['metadata']['name']}"
            text = json.dumps(document, sort_keys=True)
            if document["kind"] in FOREIGN or text in seen:
                continue
            seen.add(text)
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    yield f"{name} in {version}: {error.message}"
        yield from (f"{what}: {finding}" for finding in look_at_pods(documents))
    yield from look_at_secrets()
    for what, (values, word) in REFUSED.items():
        try:
            rendered(values)
            yield f"{what} was not refused"
        except helm.HelmError as error:
            if word not in str(error):
                yield f"{what} was refused without '{word}': {error}"


def look_at_secrets():
    """That no variable which the documentation calls a secret may stand among the plain ones."""
    import jsonschema

    config = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]
    rows = (CHART.parents[2] / "docs" / "configuration.md").read_text().splitlines()
    secrets = [row.split("`")[1] for row in rows if row.startswith("| `") and "· secret" in row.split("|")[1]]
    if len(secrets) < 10:
        yield f"the documentation has only {secrets}"
    for secret in secrets:
        if jsonschema.Draft7Validator(config).is_valid({secret: "x"}):
            yield f"{secret} may stand among the variables"


def look_at_pods(documents):
    """That what is said in several places is the same in all."""

    def of(kind):
        return [document for document in documents if document["kind"] == kind]

    [node_set] = of("StatefulSet")
    pod = node_set["spec"]["template"]
    [container] = pod["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    settle = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = settle + int(environment["SHUTDOWN_TIMEOUT_MS"]) / 1000
    if pod["spec"]["terminationGracePeriodSeconds"] <= needed:
        yield f"a pod is killed before it has drained, which takes {needed} s"
    labels = pod["metadata"]["labels"].items()
    for service in of("Service"):
        selector = dict(service["spec"]["selector"])
        selector.pop("statefulset.kubernetes.io/pod-name", None)
        if "castgate/nobody" not in selector and not selector.items() <= labels:
            yield f"the Service {service['metadata']['name']} finds no pod"
    names = {service["metadata"]["name"] for service in of("Service")}
    if node_set["spec"]["serviceName"] not in names:
        yield "the StatefulSet has no Service"
    for ingress in of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                if path["backend"]["service"]["name"] not in names:
                    yield f"{rule['host']} leads nowhere"
    for budget in of("PodDisruptionBudget"):
        if not budget["spec"]["selector"]["matchLabels"].items() <= labels:
            yield "the budget is for other pods"
    for scaler in of("HorizontalPodAutoscaler"):
        metrics = [metric.get("pods", {}).get("metric", {}).get("name") for metric in scaler["spec"]["metrics"]]
        if metrics != ["castgate_load_ratio"] or "replicas" in node_set["spec"]:
            yield f"it is scaled by {metrics}, and by the chart"
    for rules in of("PrometheusRule"):
        if rules["spec"] != yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text()):
            yield "its alerts are others than those of Prometheus in compose"


def chart_environment():
    documents = rendered({})
    [container] = next(d for d in documents if d["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"]
    maps = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
    environment = dict(maps["castgate"])
    # As Kubernetes fills them in.
    fields = {"metadata.name": "castgate-0", "metadata.labels['apps.kubernetes.io/pod-index']": "0", "status.hostIP": "203.0.113.4"}
    for entry in container["env"]:
        if "value" in entry:
            value = entry["value"]
        else:
            value = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        environment[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda match: environment[match.group(1)], value)
    return {"environment": environment, "start": maps["castgate-start"]["start.sh"]}


def main():
    what, *words = sys.argv[1:]
    if what in ("compose", "chart"):
        findings = list(look_at_compose() if what == "compose" else look_at_chart())
        print("\n".join(findings))
        return len(findings) > 0
    print(json.dumps(compose_environment(words[0], words[1:]) if what == "compose-environment" else chart_environment()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
