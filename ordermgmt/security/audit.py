"""The record of what operators do: one line of the log for each thing done, that says who did it and through whom."""

from __future__ import annotations

from ordermgmt.security.principal import Principal
from ordermgmt.telemetry.logs import get_logger

__all__ = ["audit"]


def audit(service: str, action: str, principal: Principal, **what: str) -> None:
    """Note that `principal` has just done `action`, which is on disk, at `service`. No secret belongs into `what`."""
    get_logger(service).info(
        "audit", action=action, **what, iss=principal.iss, sub=principal.sub, act=principal.actor, jti=principal.jti
    )
