"""The folder of certificates and keys: made on first start, kept fresh on every later one.

`ca.pem` holds the authorities that are trusted, `ca.key` the key of the one that issues; each service has `<name>.pem`
and `<name>.key`. On a machine without `ca.key` nothing can be issued, and nothing has to be while all is well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ordermgmt.errors import StartError
from ordermgmt.pki.authority import Pair, alternative_names, issued_at, make_authority, make_leaf, permits
from ordermgmt.pki.pairs import finish, install, is_present, writing
from ordermgmt.security.binding import thumbprint
from ordermgmt.security.peer import is_service_name, issued_by
from ordermgmt.security.pem import belong_together, read_certificates, read_private_key

__all__ = ["KEEP_OLD", "TRUST_FIRST", "Row", "describe", "ensure", "issue", "replace_authority", "rotate"]

AUTHORITY = "ca"
NEW_AUTHORITY = "new authority"
TRUST_FIRST = 60.0
"""Seconds that running services have to take a new authority in before anything is issued from it; they need one."""
KEEP_OLD = 3600.0
"""Seconds that an authority is still trusted after its last certificate was replaced: services have taken theirs in
after one, and connections end after 11 minutes."""


@dataclass(frozen=True, slots=True)
class Row:
    """What there is to say about one certificate."""

    name: str
    role: str
    """`authority` or `service`."""
    uri: str | None
    names: tuple[str, ...]
    """Host names and addresses."""
    not_before: datetime
    not_after: datetime
    days_left: int
    """Whole days; negative once it has expired."""
    thumbprint: str


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder, what its certificates should be for, and the time."""

    directory: Path
    names: Sequence[str]
    trust_domain: str
    now: float

    @property
    def authority_path(self) -> Path:
        return self.directory / f"{AUTHORITY}.pem"

    @property
    def authority_key_path(self) -> Path:
        return self.directory / f"{AUTHORITY}.key"


def ensure(
    directory: Path,
    services: Sequence[str],
    names: Sequence[str],
    trust_domain: str,
    now: float,
    *,
    settle: float = 0.0,
) -> list[str]:
    """Make what is missing, and issue again what is about to expire or no longer fits the configuration.

    Returns a line for each thing that was done; none if all was well. An authority is only ever made where there is
    none; one that was replaced is dropped when no certificate of it has been left in the folder for an hour. While
    services run, `settle` is how many seconds they have to trust a new authority before anything is issued from it.
    May be called at any time, by several processes at once; a crash at any point is healed by the next call.
    Raises StartError with one line if a file is unreadable, corrupt, or does not fit the others.
    """
    folder = _Folder(directory, names, trust_domain, now)
    made: list[str] = []
    for service in services:
        _check_name(service)
    with writing(directory):
        for name in (AUTHORITY, *services):
            finish(directory, name)
        if not is_present(directory, AUTHORITY):
            _refuse_orphans(folder, services)
            directory.chmod(0o700)
            made.append(_make_authority(folder, ()))
        trusted, issuer = _load_authority(folder)
        if issuer is not None:
            made += _drop_unused(folder, trusted, issuer)
        for service in services:
            reason = _reason_to_issue(folder, service, trusted, issuer)
            if reason == NEW_AUTHORITY and issuer is not None and now < issued_at(issuer.certificate) + settle:
                continue
            if reason is not None:
                made.append(_issue(folder, service, issuer, reason))
    return made


def issue(directory: Path, name: str, names: Sequence[str], trust_domain: str, now: float) -> str:
    """Issue a certificate with a new key for `name`, in place of the one that there may be.

    Returns a line that says so. Raises StartError.
    """
    folder = _Folder(directory, names, trust_domain, now)
    _check_name(name)
    with writing(directory):
        for present in (AUTHORITY, name):
            finish(directory, present)
        _, issuer = _load_authority(folder)
        return _issue(folder, name, issuer, "asked for")


def rotate(directory: Path, names: Sequence[str], trust_domain: str, now: float, only: Sequence[str] = ()) -> list[str]:
    """Issue every certificate of the folder again, or `only` these, with new keys, while services run.

    Returns a line for each. Raises StartError, before anything is changed where the authority has just replaced another
    one, so that not everybody trusts it, or its key is not on this machine.
    """
    folder = _Folder(directory, names, trust_domain, now)
    with writing(directory):
        present = sorted(only) or [path.stem for path in _leaf_paths(directory)]
        for name in (AUTHORITY, *present):
            finish(directory, name)
        trusted, issuer = _load_authority(folder)
        if issuer is not None and len(trusted) > 1 and now < (usable := issued_at(issuer.certificate) + TRUST_FIRST):
            msg = f"{folder.authority_path} is new: running services have {usable - now:.0f} s left to trust it first"
            raise StartError(msg)
        return [_issue(folder, name, issuer, "asked for") for name in present]


def replace_authority(directory: Path, names: Sequence[str], trust_domain: str, now: float) -> str:
    """Make a new authority. The old ones stay trusted as long as there are certificates of theirs.

    If every process loads the new `ca.pem` before `ensure` or `rotate` issues from it, no connection is refused
    meanwhile. To end the trust in an old authority at once, take it out of `ca.pem` afterwards. Returns a line that
    says so. Raises StartError.
    """
    folder = _Folder(directory, names, trust_domain, now)
    with writing(directory):
        finish(directory, AUTHORITY)
        trusted, issuer = _load_authority(folder)
        if issuer is None:
            msg = f"{folder.authority_key_path} is not on this machine, so the authority cannot be replaced from here"
            raise StartError(msg)
        return _make_authority(folder, [old for old in trusted if old.not_valid_after_utc.timestamp() >= now])


def describe(directory: Path, now: float) -> list[Row]:
    """Describe all certificates of the folder, authorities first. Raises StartError."""
    rows = [_row(AUTHORITY, certificate, now) for certificate in read_certificates(directory / f"{AUTHORITY}.pem")]
    return rows + [_row(path.stem, read_certificates(path)[0], now) for path in _leaf_paths(directory)]


def _row(name: str, certificate: x509.Certificate, now: float) -> Row:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    identities = found.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = [str(host.value) for host in found if isinstance(host, x509.DNSName | x509.IPAddress)]
    return Row(
        name=name,
        role="authority" if name == AUTHORITY else "service",
        uri=identities[0] if len(identities) == 1 else None,
        names=tuple(hosts),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=int((certificate.not_valid_after_utc.timestamp() - now) // 86400),
        thumbprint=thumbprint(certificate.public_bytes(Encoding.DER)),
    )


def _check_name(name: str) -> None:
    if not is_service_name(name) or name == AUTHORITY:
        msg = f"{name!r} can name no certificate: use lower-case letters, digits and hyphens, and not {AUTHORITY!r}"
        raise StartError(msg)


def _refuse_orphans(folder: _Folder, services: Sequence[str]) -> None:
    """A new authority would not fit the certificates that an old one issued."""
    for service in services:
        if is_present(folder.directory, service):
            path = folder.directory / f"{service}.pem"
            msg = f"{folder.authority_path} is missing: put it back, or move {path} and all like it away to start anew"
            raise StartError(msg)


def _make_authority(folder: _Folder, old: Sequence[x509.Certificate]) -> str:
    new = make_authority(folder.names, folder.trust_domain, folder.now)
    install(folder.directory, AUTHORITY, [new.certificate, *old], new.key)
    return f"{folder.authority_path}: new authority, until {new.certificate.not_valid_after_utc.date()}"


def _drop_unused(folder: _Folder, trusted: Sequence[x509.Certificate], issuer: Pair) -> list[str]:
    """Take authorities out of `ca.pem` that were replaced, and whose certificates were, too, long enough ago."""
    leaves = [read_certificates(path)[0] for path in _leaf_paths(folder.directory)]
    if any(folder.now < issued_at(leaf) + KEEP_OLD for leaf in leaves):
        return []
    good = [leaf for leaf in leaves if folder.now <= leaf.not_valid_after_utc.timestamp()]
    kept = [ca for ca in trusted if ca == issuer.certificate or any(issued_by(leaf, ca) for leaf in good)]
    if len(kept) == len(trusted):
        return []
    install(
        folder.directory, AUTHORITY, [issuer.certificate, *(ca for ca in kept if ca != issuer.certificate)], issuer.key
    )
    return [f"{folder.authority_path}: the old authority is dropped, as nothing of it is left"]


def _leaf_paths(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("[!.]*.pem") if path.stem != AUTHORITY)


def _load_authority(folder: _Folder) -> tuple[tuple[x509.Certificate, ...], Pair | None]:
    """Return the trusted authorities, and the one that issues if its key is on this machine."""
    trusted = read_certificates(folder.authority_path)
    if not folder.authority_key_path.exists():
        return trusted, None
    key = read_private_key(folder.authority_key_path)
    for certificate in trusted:
        if belong_together(certificate, key):
            return trusted, Pair(certificate, key)
    msg = f"{folder.authority_key_path} is the key of no certificate in {folder.authority_path}"
    raise StartError(msg)


def _reason_to_issue(
    folder: _Folder, service: str, trusted: Sequence[x509.Certificate], issuer: Pair | None
) -> str | None:
    """Say why the certificate of `service` has to be issued now, or None if it is good as it is."""
    if not is_present(folder.directory, service):
        return "missing"
    path, key_path = folder.directory / f"{service}.pem", folder.directory / f"{service}.key"
    certificate = read_certificates(path)[0]
    if not belong_together(certificate, read_private_key(key_path)):
        msg = f"{path} is not the certificate of {key_path}: move both away to have new ones made"
        raise StartError(msg)
    if not any(issued_by(certificate, authority) for authority in trusted):
        msg = f"{path} was not issued by {folder.authority_path}: move it and its key away to have new ones made"
        raise StartError(msg)
    start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if not start <= folder.now <= end:
        return "out of its dates"
    if issuer is None:
        return None
    if not issued_by(certificate, issuer.certificate):
        return NEW_AUTHORITY
    if end - folder.now < (end - start) / 3:
        return "expires soon"
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return None if set(found) == set(alternative_names(service, folder.names, folder.trust_domain)) else "names changed"


def _issue(folder: _Folder, service: str, issuer: Pair | None, reason: str) -> str:
    path = folder.directory / f"{service}.pem"
    if issuer is None:
        msg = f"{path} has to be issued ({reason}), but {folder.authority_key_path} is not on this machine"
        raise StartError(msg)
    authority = issuer.certificate
    if not authority.not_valid_before_utc.timestamp() <= folder.now <= authority.not_valid_after_utc.timestamp():
        msg = f"{folder.authority_path} is out of its dates: a new authority is needed"
        raise StartError(msg)
    for name in alternative_names(service, folder.names, folder.trust_domain):
        if not permits(authority, name):
            msg = f"{folder.authority_path} does not permit {name.value}: a new authority is needed for it"
            raise StartError(msg)
    leaf = make_leaf(issuer, service, folder.names, folder.trust_domain, folder.now)
    install(folder.directory, service, [leaf.certificate], leaf.key)
    return f"{path}: {reason}, issued until {leaf.certificate.not_valid_after_utc.date()}"
