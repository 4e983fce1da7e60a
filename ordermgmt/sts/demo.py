"""Demo clients and users, with secrets that only a file knows.

The file is the truth and the database follows it: it is written whole and on disk before any digest is stored, and
each start gives the database the digests of a file that it has not seen. So a crash anywhere is made good by the next
start, and a lost file by a new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ordermgmt.errors import StartError
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.passwords import Passwords
from ordermgmt.storage import Database
from ordermgmt.sts import store
from ordermgmt.sts.contract import AUTHORIZATION_CODE, CLIENT_CREDENTIALS, OIDC_SCOPES, REFRESH_TOKEN
from ordermgmt.sts.registration import Client, UserDetails
from ordermgmt.sts.store import StoredUser
from ordermgmt.threads import Threads

__all__ = ["FILE_NAME", "install_demo", "uninstall_demo"]

FILE_NAME = "demo-credentials"
SECRET_SIZE, PASSWORD_SIZE = 32, 12
"""Random bytes: a client's secret withstands guessing without a slow digest, a password is also typed by people."""

_ADMIN = frozenset({"add_order", "update_order", "cancel_order", "read_all_orders", "operate"})
_ADD = frozenset({"add_order"})
_USERS: Mapping[str, tuple[UserDetails, frozenset[str]]] = {
    "counter": (UserDetails("Counter", ("clerk",)), _ADD),
    "admin": (UserDetails("Administrator", ("manager",)), _ADMIN),
    "alice": (UserDetails("Alice", ("customer",)), _ADD),
    "bob": (UserDetails("Bob", ("customer",)), _ADD),
}
_SPA = Client(
    "demo-spa",
    grants=frozenset({AUTHORIZATION_CODE, REFRESH_TOKEN}),
    scopes=_ADMIN | OIDC_SCOPES,
    default_audience="gateway",
    public=True,
    name="Demo page",
    redirect_uris=frozenset({"http://127.0.0.1/callback", "http://[::1]/callback"}),
    post_logout_redirect_uris=frozenset({"http://127.0.0.1/", "http://[::1]/"}),
)
"""A public client for users, on any port of loopback (RFC 8252 section 7.3): it has no secret."""
_CLIENTS: Mapping[str, frozenset[str]] = {
    "counter-app": _ADD,
    "admin-app": _ADMIN,
    "alice-app": _ADD,
    "bob-app": _ADD,
}

Secrets = Mapping[tuple[str, str], str]
"""By kind (`client` or `user`) and name."""


async def install_demo(database: Database, folder: Path, *, entropy: Entropy, threads: Threads) -> None:
    """See to it that the demo clients and users are there, with the secrets in `folder`/demo-credentials.

    The file has a line `client ID SECRET` or `user NAME PASSWORD` for each. Raises StartError if it cannot be read or
    written, or others can read it.
    """
    content = await threads.run(partial(_read_or_make, folder / FILE_NAME, entropy))
    # The public client is in it, too, so that a database from before there was one gets it.
    fingerprint = hashlib.sha256(f"{content}public {_SPA.id}\n".encode()).hexdigest()
    if await database.read(store.demo_fingerprint) == fingerprint:
        return
    secrets = _parse(content, folder / FILE_NAME)
    clients = [_SPA, *(_client(name, scopes, secrets["client", name]) for name, scopes in _CLIENTS.items())]
    passwords = Passwords(threads, entropy)
    users = [
        StoredUser(name, details, scopes, await passwords.digest(secrets["user", name]))
        for name, (details, scopes) in _USERS.items()
    ]
    await database.write(lambda transaction: store.put_demo(transaction, clients, users, fingerprint))


async def uninstall_demo(database: Database) -> None:
    """Remove the demo clients and users, and all tokens of theirs: they exist only while `install_demo` is wanted."""
    if await database.read(store.demo_fingerprint) is not None:
        await database.write(store.remove_demo)


def _client(name: str, scopes: frozenset[str], secret: str) -> Client:
    return Client(
        id=name,
        grants=frozenset({CLIENT_CREDENTIALS}),
        scopes=scopes,
        targets=frozenset({"order"}),
        default_audience="gateway",
        secret_digest=hashlib.sha256(secret.encode()).hexdigest(),
    )


def _read_or_make(path: Path, entropy: Entropy) -> str:
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            content = _make(entropy)
            _write(path, content)
            return content
    except OSError as error:
        msg = f"cannot use {path}: {error.strerror}"
        raise StartError(msg) from error


def _read(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            msg = f"{path} is open to other users: make it 0600, or delete it to get new secrets"
            raise StartError(msg)
        return file.read()


def _make(entropy: Entropy) -> str:
    clients = [f"client {name} {new_id(entropy, SECRET_SIZE)}\n" for name in _CLIENTS]
    users = [f"user {name} {new_id(entropy, PASSWORD_SIZE)}\n" for name in _USERS]
    return "".join([*clients, *users])


def _write(path: Path, content: str) -> None:
    """Write the whole file or none of it, and have it on disk before returning."""
    draft = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parse(content: str, path: Path) -> Secrets:
    secrets: dict[tuple[str, str], str] = {}
    for line in content.splitlines():
        kind, _, rest = line.partition(" ")
        name, _, secret = rest.partition(" ")
        secrets[kind, name] = secret
    wanted = [*(("client", name) for name in _CLIENTS), *(("user", name) for name in _USERS)]
    if not all(secrets.get(entry) for entry in wanted):
        msg = f"{path} has not all demo secrets: delete it to get new ones"
        raise StartError(msg)
    return secrets
