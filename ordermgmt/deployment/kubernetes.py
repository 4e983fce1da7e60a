"""Manifests for Kubernetes: a file for each service, one for what they share, one for certificates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ordermgmt.config import Config
from ordermgmt.deployment.network_policies import labels, network_policy, nothing_else
from ordermgmt.deployment.plan import (
    ADMIN_PORT,
    CERTIFICATES,
    CONFIGURATION,
    DATA,
    PASSWORD_FILE,
    Options,
    Part,
    arguments,
    grace,
)
from ordermgmt.security.peer import spiffe_id

__all__ = ["KEYS", "certificates", "manifests", "shared"]

DATABASE = "ordermgmt-database"
"""A secret that somebody makes: `dsn` and `password`. So is `ordermgmt-<key file>`, with that as its one member."""
KEYS = PurePosixPath("/etc/ordermgmt/keys")
ISSUER = "ordermgmt-ca"
READ_BY_GROUP = 0o440


def shared(configuration: str) -> list[dict[str, Any]]:
    """Return what all services share: the configuration, and the policy that allows nothing."""
    file = {PurePosixPath(CONFIGURATION).name: configuration}
    return [_object("v1", "ConfigMap", "ordermgmt", data=file), nothing_else()]


def manifests(
    part: Part, deployed: Sequence[Part], config: Config, configuration: str, options: Options
) -> list[dict[str, Any]]:
    """Return the objects of one service. `configuration` is the file that `shared` holds."""
    named = {**part.ports, "admin": ADMIN_PORT}
    ports = [{"name": key.replace("_", "-"), "port": port} for key, port in named.items()]
    service = {"selector": labels(part.name), "ports": [{**port, "targetPort": port["name"]} for port in ports]}
    return [
        _deployment(part, config, configuration, options),
        _object("v1", "Service", part.name, spec=service),
        _object(
            "policy/v1",
            "PodDisruptionBudget",
            part.name,
            spec={"maxUnavailable": 1, "selector": {"matchLabels": labels(part.name)}},
        ),
        network_policy(part, deployed, config),
    ]


def certificates(deployed: Sequence[Part], config: Config) -> list[dict[str, Any]]:
    """Return what cert-manager needs: an authority of this suite alone, and a certificate for each service from it."""
    group, suite = "cert-manager.io/v1", config.suite
    key = {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"}
    objects = [
        _object(group, "Issuer", "ordermgmt-bootstrap", spec={"selfSigned": {}}),
        _object(
            group,
            "Certificate",
            ISSUER,
            spec={
                "isCA": True,
                "commonName": "ordermgmt certificate authority",
                "secretName": ISSUER,
                "duration": "87600h",
                "privateKey": key | {"rotationPolicy": "Never"},
                "issuerRef": {"name": "ordermgmt-bootstrap", "kind": "Issuer"},
            },
        ),
        _object(group, "Issuer", ISSUER, spec={"ca": {"secretName": ISSUER}}),
    ]
    for part in deployed:
        spec = {
            "secretName": f"{part.name}-certificate",
            "duration": "2160h",
            "renewBefore": "720h",
            "privateKey": key,
            "usages": ["digital signature", "server auth", "client auth"],
            "dnsNames": list(dict.fromkeys([*suite.names, suite.trust_domain])),
            "uris": [spiffe_id(suite.trust_domain, part.name)],
            "issuerRef": {"name": ISSUER, "kind": "Issuer"},
        }
        objects.append(_object(group, "Certificate", part.name, spec=spec))
    return objects


def _deployment(part: Part, config: Config, configuration: str, options: Options) -> dict[str, Any]:
    checksum = hashlib.sha256(configuration.encode()).hexdigest()
    volumes = _volumes(part)
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # the variables that it would set look like settings
        "terminationGracePeriodSeconds": grace(config),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.user,
            "runAsGroup": options.user,
            "fsGroup": options.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels(part.name)},
            }
        ],
        "containers": [_container(part, options, {path: name for name, (path, _) in volumes.items()})],
        "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
    }
    spec = {
        "replicas": options.replicas,
        "selector": {"matchLabels": labels(part.name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {
                "labels": labels(part.name),
                "annotations": {f"{config.suite.trust_domain}/configuration": checksum},  # another one is rolled out
            },
            "spec": pod,
        },
    }
    return _object("apps/v1", "Deployment", part.name, spec=spec)


def _container(part: Part, options: Options, mounts: Mapping[str, str]) -> dict[str, Any]:
    dsn = {"name": DATABASE, "key": "dsn"}
    writable = {DATA, "/tmp"}  # noqa: S108 - in the container

    def probe(path: str, period: int, failures: int) -> dict[str, Any]:
        request = {"path": path, "port": "admin"}
        return {"httpGet": request, "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures}

    return {
        "name": part.name,
        "image": options.image,
        "args": arguments(part),
        "env": [{"name": "ORDERMGMT_SUITE_DATABASE", "valueFrom": {"secretKeyRef": dsn}}] if part.keeps_data else [],
        "ports": [
            *({"name": key.replace("_", "-"), "containerPort": port} for key, port in part.ports.items()),
            {"name": "admin", "containerPort": ADMIN_PORT},
        ],
        "startupProbe": probe("/readyz", 1, 60),
        "readinessProbe": probe(f"/readyz/{part.name}", 2, 1),
        "livenessProbe": probe("/healthz", 10, 3),
        "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": name, "mountPath": path, **({} if path in writable else {"readOnly": True})}
            for path, name in mounts.items()
        ],
    }


def _volumes(part: Part) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the volumes by name, each with the path where it is mounted."""
    folder = PurePosixPath(CONFIGURATION)
    files = {"ca.crt": "ca.pem", "tls.crt": f"{part.name}.pem", "tls.key": f"{part.name}.key"}
    volumes = {
        "configuration": (str(folder.parent), {"configMap": {"name": "ordermgmt"}}),
        "certificates": (CERTIFICATES, _secret(f"{part.name}-certificate", files)),
        "data": (DATA, {"emptyDir": {}}),
        "tmp": ("/tmp", {"emptyDir": {}}),  # noqa: S108 - in the container
    }
    if part.keeps_data:
        path = PurePosixPath(PASSWORD_FILE)
        volumes["database"] = (str(path.parent), _secret(DATABASE, {"password": path.name}))
    if part.key_file:
        volumes["key"] = (str(KEYS), _secret(f"ordermgmt-{part.key_file}", {part.key_file: part.key_file}))
    return volumes


def _secret(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    items = [{"key": key, "path": path} for key, path in files.items()]
    return {"secret": {"secretName": name, "defaultMode": READ_BY_GROUP, "items": items}}


def _object(version: str, kind: str, name: str, **rest: object) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels(name)}, **rest}
