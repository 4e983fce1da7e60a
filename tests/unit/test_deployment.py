"""What `ordermgmt deploy` writes: it follows the table and the settings, and fits the schemas of those who read it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from ordermgmt.__main__ import main
from ordermgmt.commands.deploy import kubernetes_files
from ordermgmt.config import Config, load_config
from ordermgmt.deployment.compose import compose
from ordermgmt.deployment.kubernetes import manifests
from ordermgmt.deployment.network_policies import network_policy
from ordermgmt.deployment.plan import Options, configuration_file, in_containers, parts
from ordermgmt.placement import Service
from ordermgmt.system import EDGES, SERVICES

KUBERNETES = ("1.28", "1.37")
"""The oldest and the newest version whose schemas are asked."""
UNCHECKED = {"Issuer", "Certificate"}
"""Kinds of cert-manager, of which there is no schema here."""
Hop = tuple[str, str, int]


def edges(services: tuple[Service, ...] = SERVICES) -> set[Hop]:
    """Who connects to whom at which port, by the table."""
    ports = {part.name: part.ports for part in parts(services, Config())}
    return {
        (service.name, callee, ports[callee][listener])
        for service in services
        for callee, listeners in service.calls.items()
        for listener in listeners
    }


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
    databases = {(name, "egress", "TCP", 5432) for name in ("sts", "inventory", "order")}
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
    assert internal == {frozenset((caller, callee)) for caller, callee, _ in edges()}
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
    assert len(found) == 4 * 4 + 2 + (3 + 4 if cert_manager else 0)


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
    assert secrets == {
        "sts": ["sts-certificate", "ordermgmt-database", "ordermgmt-sts-key"],
        "inventory": ["inventory-certificate", "ordermgmt-database"],
        "order": ["order-certificate", "ordermgmt-database"],
        "gateway": ["gateway-certificate"],
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
    assert arrived.suite.names == ("localhost", "orders.example.com", "sts", "inventory", "order", "gateway")
    (map_,) = [one for one in kubernetes_files(config, Options())["shared.yaml"] if one["kind"] == "ConfigMap"]
    (tmp_path / "map.toml").write_text(map_["data"]["ordermgmt.toml"])
    assert load_config(tmp_path / "map.toml", {}).suite.drain_delay == 7.5
    order = policies([one for file in kubernetes_files(config, Options()).values() for one in file])["order"]
    assert {"ports": [{"protocol": "TCP", "port": port} for port in (5432, 8444)]} in order["egress"]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ('[sts]\nlisten = "127.0.0.1:0"', "sts.listen: has to name a port that the others can know"),
        (
            '[[order.issuers]]\nissuer = "x"\naudience = "x"\njwks_url = "https://x/"\nca_file = "ca.pem"',
            "order.issuers[0].ca_file: has to be the path in the container, from / on",
        ),
    ],
)
def test_what_cannot_be_deployed_is_one_line(tmp_path: Path, settings: str, line: str) -> None:
    (tmp_path / "bad.toml").write_text(settings)
    done = deploy("kubernetes", tmp_path / "out", "--config", str(tmp_path / "bad.toml"))
    assert (done.exit_code, done.stderr) == (1, f"Error: {line}\n")
    assert not (tmp_path / "out").exists()


def deploy(kind: str, out: Path, *arguments: str) -> Result:
    return CliRunner(env={"ORDERMGMT_CONFIG": None}).invoke(main, ["deploy", kind, "--out", str(out), *arguments])


@pytest.mark.parametrize("kind", ["docker", "compose", "kubernetes"])
def test_the_same_files_are_written_twice(tmp_path: Path, kind: str) -> None:
    assert deploy(kind, tmp_path / "one").exit_code == 0
    assert deploy(kind, tmp_path / "two").exit_code == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        content = (tmp_path / "one" / name).read_text()
        assert content == (tmp_path / "two" / name).read_text()
        assert str(tmp_path) not in content
    again = deploy(kind, tmp_path / "one")
    assert again.stdout.count(": as it was\n") == len(files)


def test_what_was_changed_by_hand_is_kept(tmp_path: Path) -> None:
    assert deploy("kubernetes", tmp_path).exit_code == 0
    edited = tmp_path / "order.yaml"
    edited.write_text(edited.read_text().replace("replicas: 2", "replicas: 5"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    refused = deploy("kubernetes", tmp_path, "--replicas", "3")
    assert refused.exit_code == 1
    assert refused.stderr == f"Error: changed by hand: {edited}; --force overwrites them\n"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    forced = deploy("kubernetes", tmp_path, "--replicas", "3", "--force")
    assert forced.exit_code == 0
    assert "replicas: 3" in edited.read_text()
    # what nobody touched is replaced without a word of force
    assert deploy("kubernetes", tmp_path, "--replicas", "4").exit_code == 0
    assert "replicas: 4" in edited.read_text()


def test_the_compose_file_fits_the_schema_of_compose(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text(CONFIGURED)
    for number, arguments in enumerate([(), ("--config", str(tmp_path / "here.toml"))]):
        out = tmp_path / str(number)
        assert deploy("compose", out, "--image", "shop/orders:7", *arguments).exit_code == 0
        check = [f"{Path(sys.executable).parent}/check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
        done = subprocess.run([*check, str(out / "compose.yaml")], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        services = yaml.safe_load((out / "compose.yaml").read_text())["services"]
        assert [service["image"] for service in services.values()] == ["shop/orders:7"] * 4
        assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in services.values())


def test_a_compose_file_hands_each_service_its_own_key() -> None:
    config = replace(Config(), suite=replace(Config().suite, database="postgresql://db/x", database_password_file="pw"))
    deployed = parts(SERVICES, config)
    found = compose(deployed, config, configuration_file(in_containers(config, deployed)), Options())
    for name, service in found["services"].items():
        keys = [secret["source"] for secret in service["secrets"] if secret["source"].endswith("-key")]
        assert keys == [f"{name}-key"]
        assert ("database-password" in str(service["secrets"])) == (name != "gateway")
        assert ("database" in service["networks"]) == (name != "gateway")
    assert found["secrets"]["database-password"] == {"file": "./pw"}


def instructions(out: Path) -> list[tuple[str, str]]:
    lines = (out / "Containerfile").read_text().splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name != "#"]


def test_the_image_starts_from_one_base_and_runs_as_nobody(tmp_path: Path) -> None:
    assert deploy("docker", tmp_path, "--base", "python:3.13-slim", "--user", "12345").exit_code == 0
    found = instructions(tmp_path)
    assert [rest for name, rest in found if name == "FROM"] == ["python:3.13-slim AS packages", "python:3.13-slim"]
    names = [name for name, _ in found]
    assert dict(found)["USER"] == "12345:12345"
    assert "RUN" not in names[names.index("USER") :]
    for name, rest in found:
        if name in {"RUN", "ENTRYPOINT", "CMD"}:
            assert msgspec.json.decode(rest, type=list[str])
    assert dict(found)["HEALTHCHECK"].endswith('CMD ["python", "-P", "-m", "ordermgmt.probe", "127.0.0.1:9400"]')
