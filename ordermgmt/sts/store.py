"""The token service's tables. Every function takes an open transaction and speaks plain SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ordermgmt.storage import Transaction
from ordermgmt.sts.contract import client_subject
from ordermgmt.sts.domain import Authority, client_grant, token_grant
from ordermgmt.sts.registration import Client, UserDetails
from ordermgmt.sts.revocation_store import new_generation, revoke, revoke_everything

__all__ = [
    "StoredUser",
    "demo_fingerprint",
    "end_all_sessions",
    "find_access_token",
    "find_client",
    "find_user",
    "names_of",
    "put_demo",
    "put_system_clients",
    "remove_access_token",
    "remove_demo",
    "save_access_token",
    "text_of",
]

PURGE = 64
"""Expired tokens that go with each new one: more than one, so they cannot pile up, and few, so nobody waits."""


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as kept, with the digest of the password."""

    name: str
    details: UserDetails
    scopes: frozenset[str]
    password_digest: str = field(repr=False)


def find_client(transaction: Transaction, client_id: str) -> Client | None:
    """Return a client that is registered and not disabled."""
    rows = transaction.execute(
        "SELECT grants, scopes, targets, default_audience, secret_digest, certificate_uri, public, name, redirect_uris,"
        " post_logout_redirect_uris, generation FROM clients WHERE id = ? AND disabled = 0",
        (client_id,),
    ).rows
    if not rows:
        return None
    grants, scopes, targets, default_audience, secret_digest, certificate_uri, public, name = rows[0][:8]
    uris, logout_uris, generation = rows[0][8:]
    return Client(
        id=client_id,
        grants=names_of(grants),
        scopes=names_of(scopes),
        targets=names_of(targets),
        default_audience=default_audience,
        secret_digest=secret_digest,
        certificate_uri=certificate_uri,
        public=bool(public),
        generation=generation,
        name=name,
        redirect_uris=names_of(uris),
        post_logout_redirect_uris=names_of(logout_uris),
    )


def find_user(transaction: Transaction, name: str) -> StoredUser | None:
    """Return a user that exists and is not disabled, for whoever checks its password."""
    rows = transaction.execute(
        "SELECT full_name, roles, scopes, password_digest FROM users WHERE name = ? AND disabled = 0", (name,)
    ).rows
    if not rows:
        return None
    full_name, roles, scopes, password_digest = rows[0]
    return StoredUser(name, UserDetails(full_name, tuple(roles.split())), names_of(scopes), password_digest)


def save_access_token(transaction: Transaction, digest: str, authority: Authority, issued_at: int) -> None:
    """Keep an opaque token, and forget some of those that expired before `issued_at`."""
    transaction.execute(
        "DELETE FROM access_tokens WHERE digest IN"
        " (SELECT digest FROM access_tokens WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (issued_at, PURGE),
    )
    transaction.execute(
        "INSERT INTO access_tokens (digest, client_id, user_name, scopes, audience, issued_at, expires_at, sid,"
        " family_id, generation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            digest,
            authority.client_id,
            authority.subject if authority.user is not None else None,
            text_of(authority.scopes),
            authority.audience,
            issued_at,
            authority.expires_at,
            authority.sid,
            authority.family or None,
            authority.generation,
        ),
    )


def remove_access_token(transaction: Transaction, digest: str) -> None:
    """Forget an opaque token, so that it is good for nothing, and end what it was exchanged for."""
    if transaction.execute("DELETE FROM access_tokens WHERE digest = ?", (digest,)).rowcount == 1:
        revoke(transaction, [token_grant(digest)])


def find_access_token(transaction: Transaction, digest: str, issuer: str) -> Authority | None:
    """Return what an opaque token says, expired or not.

    None if it, its client or its user is not good any more, or its family or session was ended, or it is of an earlier
    generation, or of before everything was revoked: a token that was being issued meanwhile is there afterwards.
    """
    rows = transaction.execute(
        "SELECT t.client_id, t.user_name, t.scopes, t.audience, t.expires_at, t.sid, t.family_id, t.generation,"
        " u.full_name, u.roles"
        " FROM access_tokens t JOIN clients c ON c.id = t.client_id LEFT JOIN users u ON u.name = t.user_name"
        " LEFT JOIN token_families f ON f.id = t.family_id LEFT JOIN sessions s ON s.sid = t.sid"
        " WHERE t.digest = ? AND c.disabled = 0 AND (t.user_name IS NULL OR u.disabled = 0)"
        " AND f.ended_at IS NULL AND s.ended_at IS NULL AND t.generation = c.generation"
        " AND t.issued_at >= (SELECT not_before FROM revocation_log)",
        (digest,),
    ).rows
    if not rows:
        return None
    client_id, user_name, scopes, audience, expires_at, sid, family, generation, full_name, roles = rows[0]
    parents = [client_grant(client_id, generation), *([family] if family else [])]
    return Authority(
        issuer=issuer,
        subject=client_subject(client_id) if user_name is None else user_name,
        scopes=names_of(scopes),
        audience=audience,
        expires_at=expires_at,
        client_id=client_id,
        user=None if user_name is None else UserDetails(full_name, tuple(roles.split())),
        sid=sid,
        family=family or "",
        generation=generation,
        revocable_by=(*parents, token_grant(digest)),
    )


def end_all_sessions(transaction: Transaction) -> None:
    """Forget whatever somebody could go on with without showing credentials again, and revoke all that was issued.

    After a restore nobody knows what was ended since the backup. Whoever adds a table of that kind adds it here.
    """
    for table in (
        "access_tokens",
        "authorization_codes",
        "refresh_tokens",
        "token_families",
        "authorization_requests",
        "sessions",
    ):
        transaction.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
    revoke_everything(transaction)


def demo_fingerprint(transaction: Transaction) -> str | None:
    """Return the fingerprint of the file whose secrets the demo clients and users have, or None without any."""
    rows = transaction.execute("SELECT fingerprint FROM demo_file").rows
    return rows[0][0] if rows else None


def put_demo(
    transaction: Transaction, clients: Sequence[Client], users: Sequence[StoredUser], fingerprint: str
) -> None:
    """Add the demo clients and users, or give them new secrets. Others of the same names are left alone."""
    for client in clients:
        transaction.execute(
            "INSERT INTO clients (id, secret_digest, grants, scopes, targets, default_audience, public, name,"
            " redirect_uris, post_logout_redirect_uris, demo, generation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)"
            " ON CONFLICT (id) DO UPDATE SET secret_digest = excluded.secret_digest WHERE clients.demo = 1",
            (
                client.id,
                client.secret_digest,
                text_of(client.grants),
                text_of(client.scopes),
                text_of(client.targets),
                client.default_audience,
                int(client.public),
                client.name,
                text_of(client.redirect_uris),
                text_of(client.post_logout_redirect_uris),
                new_generation(transaction),
            ),
        )
    for user in users:
        transaction.execute(
            "INSERT INTO users (name, full_name, roles, scopes, password_digest, demo) VALUES (?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (name) DO UPDATE SET password_digest = excluded.password_digest WHERE users.demo = 1",
            (
                user.name,
                user.details.name,
                " ".join(user.details.roles),
                text_of(user.scopes),
                user.password_digest,
            ),
        )
    transaction.execute(
        "INSERT INTO demo_file (id, fingerprint) VALUES (1, ?)"
        " ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint",
        (fingerprint,),
    )


def put_system_clients(transaction: Transaction, clients: Iterable[Client]) -> None:
    """Give the clients that are part of the system the rows that their users' tokens refer to.

    All but the scopes of such a row is looked up in the program. It is known by its `certificate_uri`, which no
    registered client has.
    """
    for client in clients:
        transaction.execute(
            "INSERT INTO clients (id, secret_digest, grants, scopes, targets, default_audience, certificate_uri)"
            " VALUES (?, '', '', ?, '', '', ?)"
            " ON CONFLICT (id) DO UPDATE SET scopes = excluded.scopes, certificate_uri = excluded.certificate_uri",
            (client.id, text_of(client.scopes_with_users), client.certificate_uri),
        )


def remove_demo(transaction: Transaction) -> None:
    """Remove the demo clients and users, and every token of theirs."""
    clients = transaction.execute("SELECT id, generation FROM clients WHERE demo = 1").rows
    sessions = transaction.execute(
        "SELECT sid FROM sessions WHERE user_name IN (SELECT name FROM users WHERE demo = 1)"
        " UNION SELECT sid FROM token_families WHERE user_name IN (SELECT name FROM users WHERE demo = 1)"
    ).rows
    for statement in (
        "DELETE FROM clients WHERE demo = 1",
        "DELETE FROM users WHERE demo = 1",
        "DELETE FROM demo_file",
    ):
        transaction.execute(statement)
    revoke(transaction, [*(client_grant(*client) for client in clients), *(sid for (sid,) in sessions)])


def names_of(text: str) -> frozenset[str]:
    """Read a list of scopes, grants, URIs or the like."""
    return frozenset(text.split())


def text_of(names: Iterable[str]) -> str:
    """Write such a list."""
    return " ".join(sorted(names))
