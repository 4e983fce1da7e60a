"""What `ordermgmt deploy` writes: it follows the table and the settings, and fits the schemas of those who read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from ordermgmt.commands.deploy import kubernetes_files
from ordermgmt.config import Config, load_config
from ordermgmt.deployment.compose import compose
from ordermgmt.deployment.kubernetes import manifests
from ordermgmt.deployment.network_policies import network_policy
from ordermgmt.deployment.plan import Options, configuration_file, in_containers, parts
from ordermgmt.placement import Service
from ordermgmt.system import EDGES, SERVICES, service_names

KUBERNETES = ("1.28", "1.37")
"""The oldest and the newest version whose schemas are asked."""
UNCHECKED = {"Issuer", "Certificate"}
"""Kinds of cert-manager, of which there is no schema here."""
Hop = tuple[str, str, int]


def edges(services: tuple[Service, ...] = SERVICES) -> set[Hop]:
    """Who connects to whom at which port, by the table."""
    ports = {part.name: part.ports for part in parts(services, Config())}
    called = {
        (service.name, callee, ports[callee][listener])
        for service in services
        for callee, listeners in service.calls.items()
        for listener in listeners
    }
    watched = {(service.name, other.name, 9400) for service in services if service.watches for other in services}
    return called | watched


def objects(options: Options | None = None) -> list[dict[str, Any]]:
    return [found for file in kubernetes_files(Config(), options or Options()).values() for found in file]


def policies(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "NetworkPolicy"}


def hops(policies: dict[str, dict[str, Any]], direction: str, peer: str) -> Iterator[Hop]:
    """Who may connect to whom at which port, as one end of all connections has it."""
    for name, policy in policies.items():
        for rule in policy[direction]:
            for other in rule.get(peer, ()):
                named = other["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
                for port in rule["ports"]:
                    yield (named, name, port["port"]) if direction == "ingress" else (name, named, port["port"])


def test_both_ends_of_the_policies_are_the_edges_of_the_table() -> None:
    found = policies(objects())
    assert set(hops(found, "ingress", "from")) == edges()
    assert set(hops(found, "egress", "to")) == edges()
    assert {(edge.caller, edge.service) for edge in EDGES} <= {(caller, callee) for caller, callee, _ in edges()}


def test_an_edge_that_is_added_to_the_table_is_added_to_the_policies() -> None:
    more = tuple(
        changed(service, calls={**service.calls, "gateway": ("listen",)}) if service.name == "sts" else service
        for service in SERVICES
    )
    deployed = parts(more, Config())
    found = {part.name: network_policy(part, deployed, Config())["spec"] for part in deployed}
    assert (
        set(hops(found, "ingress", "from")) == set(hops(found, "egress", "to")) == edges() | {("sts", "gateway", 8443)}
    )


def test_policies_allow_nothing_else_but_names_databases_and_the_public() -> None:
    found = policies(objects())
    assert found.pop("nothing-else")["podSelector"] == {"matchLabels": {"app.kubernetes.io/part-of": "ordermgmt"}}
    beyond = {
        (name, direction, port["protocol"], port["port"])
        for name, policy in found.items()
        for direction, peer in (("ingress", "from"), ("egress", "to"))
        for rule in policy[direction]
        if peer not in rule
        for port in rule["ports"]
    }
    names = {(service.name, "egress", protocol, 53) for service in SERVICES for protocol in ("TCP", "UDP")}
    databases = {(name, "egress", "TCP", 5432) for name in ("sts", "inventory", "order", "gateway")}
    public = {("sts", "ingress", "TCP", 9445), ("gateway", "ingress", "TCP", 8443)}
    assert beyond == names | databases | public


def test_networks_of_the_compose_file_are_the_edges_of_the_table() -> None:
    deployed = parts(SERVICES, Config())
    found = compose(deployed, Config(), "", Options())
    members: dict[str, set[str]] = {}
    for name, service in found["services"].items():
        for network in service["networks"]:
            members.setdefault(network, set()).add(name)
    internal = {frozenset(members[name]) for name, network in found["networks"].items() if network.get("internal")}
    assert internal == {frozenset((caller, callee)) for caller, callee, _ in edges() if caller != callee}
    assert [names for name, names in members.items() if not found["networks"][name]] == [{"sts"}, {"gateway"}]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("cert_manager", [True, False])
def test_manifests_fit_the_schemas_of_kubernetes(version: str, *, cert_manager: bool) -> None:
    unchecked = set()
    found = objects(Options(cert_manager=cert_manager))
    for one in found:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unchecked.add(one["kind"])
    assert unchecked == (UNCHECKED if cert_manager else set())
    services = len(SERVICES)
    assert len(found) == 4 * services + 2 + (3 + services if cert_manager else 0)


def test_the_schema_sees_a_mistake() -> None:
    deployed = parts(SERVICES, Config())
    deployment = manifests(deployed[0], deployed, Config(), "", Options())[0]
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_pods_may_do_little_and_are_probed_on_the_admin_listener() -> None:
    found = [one for one in objects() if one["kind"] == "Deployment"]
    assert [one["metadata"]["name"] for one in found] == [service.name for service in SERVICES]
    for deployment in found:
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        probes = [container[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
        assert [probe["port"] for probe in probes] == ["admin"] * 3
        assert {"name": "admin", "containerPort": 9400} in container["ports"]
        written = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert written == ["/var/lib/ordermgmt", "/tmp"]  # noqa: S108 - in the pod
        # the delay and the drain, before it is killed
        assert pod["terminationGracePeriodSeconds"] == 5 + 10 + 5


def test_a_pod_gets_its_own_certificate_and_no_secret_is_in_the_manifests() -> None:
    found = objects()
    secrets = {
        one["metadata"]["name"]: [
            volume["secret"]["secretName"]
            for volume in one["spec"]["template"]["spec"]["volumes"]
            if "secret" in volume
        ]
        for one in found
        if one["kind"] == "Deployment"
    }
    shared = {"sts": ["ordermgmt-sts-key"], "gateway": ["ordermgmt-gateway-key"]}
    assert secrets == {
        one.name: [
            f"{one.name}-certificate",
            *(["ordermgmt-database"] if one.keeps_data else []),
            *shared.get(one.name, []),
        ]
        for one in SERVICES
    }
    assert not [one for one in found if one["kind"] == "Secret"]
    issued = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "Certificate"}
    for service in SERVICES:
        assert issued[service.name]["uris"] == [f"spiffe://ordermgmt.local/{service.name}"]
        assert issued[service.name]["secretName"] == f"{service.name}-certificate"


CONFIGURED = """
[suite]
names = ["localhost", "orders.example.com"]
trust_domain = "shop.example"
drain_delay = 7.5

[gateway]
listen = "127.0.0.1:443"
public_url = "https://orders.example.com"

[[order.issuers]]
issuer = 'https://id.example.com/"$quoted"'
audience = "orders"
jwks_url = "https://id.example.com:8444/keys"
ca_file = "/etc/ssl/certs/ca-certificates.crt"
scopes = { "orders.write" = "add_order" }
"""


def test_the_settings_arrive_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text(CONFIGURED)
    config = load_config(tmp_path / "here.toml", {})
    expected = in_containers(config, parts(SERVICES, config))
    (tmp_path / "there.toml").write_text(configuration_file(expected))
    arrived = load_config(tmp_path / "there.toml", {})
    assert arrived == expected
    assert arrived.order.issuers == config.order.issuers
    assert arrived.gateway.listen == "0.0.0.0:443"
    assert arrived.gateway.public_url == "https://orders.example.com"
    assert arrived.sts.public_url == "https://sts:9445"
    assert arrived.suite.sts_mtls == ("sts:9446",)
    assert arrived.suite.admin == tuple(f"{name}:9400" for name in service_names())
    assert arrived.suite.names == ("localhost", "orders.example.com", *service_names())
    (map_,) = [one for one in kubernetes_files(config, Options())["shared.yaml"] if one["kind"] == "ConfigMap"]
    (tmp_path / "map.toml").write_text(map_["data"]["ordermgmt.toml"])
    assert load_config(tmp_path / "map.toml", {}).suite.drain_delay == 7.5
    order = policies([one for file in kubernetes_files(config, Options()).values() for one in file])["order"]
    assert {"ports": [{"protocol": "TCP", "port": port} for port in (5432, 8444)]} in order["egress"]
