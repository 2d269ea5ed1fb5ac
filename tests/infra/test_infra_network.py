"""What the network policies let through, between the pods of the overlays and the world."""

import ipaddress
from typing import Any

import pytest
from manifests import OVERLAYS, find, pod_template, render
from test_infra import PIPELINES

# What is not ours, by namespace: Kubeflow Pipelines' object store, and the cluster's DNS.
STORE = {"app": "seaweedfs"}
DNS = {"k8s-app": "kube-dns"}

Pod = tuple[str, dict[str, str]]
OUTSIDE = "203.0.113.7"
METADATA_SERVICE = "169.254.169.254"


class Network:
    """Network policies as Kubernetes reads them: a pod that no policy selects is open; otherwise one must allow."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self._policies = [one for one in objects if one["kind"] == "NetworkPolicy"]

    def reaches(self, source: Pod, target: Pod | str, port: int) -> bool:
        """Whether a pod may open a connection to a port of another pod, or of an address outside the cluster."""
        leaves = self._allows("egress", source, target, port)
        return leaves and (isinstance(target, str) or self._allows("ingress", target, source, port))

    def _allows(self, direction: str, pod: Pod, peer: Pod | str, port: int) -> bool:
        bound = [
            one
            for one in self._policies
            if one["metadata"]["namespace"] == pod[0]
            and direction.capitalize() in one["spec"]["policyTypes"]
            and matches(one["spec"]["podSelector"], pod[1])
        ]
        where = {"egress": "to", "ingress": "from"}[direction]
        rules = [rule for one in bound for rule in one["spec"].get(direction, [])]
        return not bound or any(
            any(is_peer(each, peer, pod[0]) for each in rule[where])
            and ("ports" not in rule or port in [one["port"] for one in rule["ports"]])
            for rule in rules
        )


def is_peer(rule: dict[str, Any], peer: Pod | str, namespace: str) -> bool:
    if isinstance(peer, str) or "ipBlock" in rule:
        block = rule.get("ipBlock")
        return isinstance(peer, str) and block is not None and in_block(peer, block)
    if "namespaceSelector" in rule:
        if not matches(rule["namespaceSelector"], {"kubernetes.io/metadata.name": peer[0]}):
            return False
    elif peer[0] != namespace:
        return False
    return matches(rule.get("podSelector", {}), peer[1])


def in_block(address: str, block: dict[str, Any]) -> bool:
    inside = [ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in block.get("except", [])]
    return ipaddress.ip_address(address) in ipaddress.ip_network(block["cidr"]) and not any(inside)


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    listed = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in listed)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in listed
    )


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def network(overlay: str) -> Network:
    return Network(render(overlay))


@pytest.fixture
def pods(overlay: str) -> dict[str, Pod]:
    objects = render(overlay)
    workloads = {
        "mlflow": "Deployment",
        "postgres": "StatefulSet",
        "postgres-backup": "CronJob",
        "postgres-restore": "CronJob",
    }
    ours = {
        name: ("longtail", pod_template(find(objects, kind, name))["metadata"]["labels"])
        for name, kind in workloads.items()
    }
    step = {"app.kubernetes.io/part-of": "longtail", "pipelines.kubeflow.org/v2_component": "true"}
    return ours | {
        "step": (PIPELINES[overlay], step),
        "store": ("kubeflow", STORE),
        "dns": ("kube-system", DNS),
        "stranger": ("default", {"app": "stranger"}),
        "debug": ("longtail", {}),
    }


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("step", "mlflow", 5000),
        ("step", "step", 29500),
        ("step", "dns", 53),
        ("mlflow", "postgres", 5432),
        ("mlflow", "dns", 53),
        ("postgres-backup", "postgres", 5432),
        ("postgres-restore", "postgres", 5432),
    ],
)
def test_what_is_needed_is_open(network: Network, pods: dict[str, Pod], source: str, target: str, port: int) -> None:
    assert network.reaches(pods[source], pods[target], port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("step", "postgres", 5432),
        ("step", "mlflow", 22),
        ("stranger", "mlflow", 5000),
        ("stranger", "postgres", 5432),
        ("stranger", "step", 29500),
        ("debug", "postgres", 5432),
        ("postgres", "mlflow", 5000),
        ("postgres-backup", "mlflow", 5000),
        ("mlflow", "step", 29500),
    ],
)
def test_nothing_else_is(network: Network, pods: dict[str, Pod], source: str, target: str, port: int) -> None:
    assert not network.reaches(pods[source], pods[target], port)


def test_the_object_store_is_reached_and_the_nodes_credentials_are_not(
    network: Network, pods: dict[str, Pod], overlay: str
) -> None:
    for name in ("mlflow", "step"):
        if overlay == "local":
            assert network.reaches(pods[name], pods["store"], 8333)
        else:
            assert network.reaches(pods[name], OUTSIDE, 443)
        assert not network.reaches(pods[name], METADATA_SERVICE, 443)
        assert not network.reaches(pods[name], METADATA_SERVICE, 80)
    for name in ("postgres", "postgres-backup"):
        assert not network.reaches(pods[name], OUTSIDE, 443)
