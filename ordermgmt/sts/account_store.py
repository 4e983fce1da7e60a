"""The tables of users and clients, for whoever keeps them. Every function takes an open transaction."""

from __future__ import annotations

from dataclasses import dataclass

from ordermgmt.storage import Transaction
from ordermgmt.sts.domain import client_grant, token_grant
from ordermgmt.sts.registration import Client, UserDetails
from ordermgmt.sts.revocation_store import new_generation, revoke
from ordermgmt.sts.store import StoredUser, names_of, text_of

__all__ = [
    "ListedClient",
    "ListedUser",
    "add_client",
    "add_user",
    "end_all_of_client",
    "end_all_of_user",
    "list_clients",
    "list_users",
    "set_client_disabled",
    "set_client_secret",
    "set_user_disabled",
    "set_user_password",
]


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user as a list shows it."""

    name: str
    details: UserDetails
    scopes: frozenset[str]
    disabled: bool


@dataclass(frozen=True, slots=True)
class ListedClient:
    """A client as a list shows it."""

    client: Client
    disabled: bool


def add_user(transaction: Transaction, user: StoredUser) -> bool:
    """Keep a new user; False if there is one of that name."""
    added = transaction.execute(
        "INSERT INTO users (name, full_name, roles, scopes, password_digest) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (user.name, user.details.name, " ".join(user.details.roles), text_of(user.scopes), user.password_digest),
    )
    return added.rowcount == 1


def add_client(transaction: Transaction, client: Client) -> bool:
    """Keep a new client; False if there is one of that id."""
    added = transaction.execute(
        "INSERT INTO clients (id, secret_digest, grants, scopes, targets, default_audience, public, name,"
        " redirect_uris, post_logout_redirect_uris, generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
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
    return added.rowcount == 1


def list_users(transaction: Transaction) -> list[ListedUser]:
    """Return all users, by name."""
    rows = transaction.execute("SELECT name, full_name, roles, scopes, disabled FROM users ORDER BY name").rows
    return [
        ListedUser(name, UserDetails(full_name, tuple(roles.split())), names_of(scopes), bool(disabled))
        for name, full_name, roles, scopes, disabled in rows
    ]


def list_clients(transaction: Transaction) -> list[ListedClient]:
    """Return all clients that are registered, by id, without their secrets."""
    rows = transaction.execute(
        "SELECT id, grants, scopes, targets, default_audience, public, name, redirect_uris, post_logout_redirect_uris,"
        " disabled FROM clients WHERE certificate_uri = '' ORDER BY id"
    ).rows
    found = []
    for client_id, grants, scopes, targets, audience, public, name, uris, logout_uris, disabled in rows:
        client = Client(
            id=client_id,
            grants=names_of(grants),
            scopes=names_of(scopes),
            targets=names_of(targets),
            default_audience=audience,
            public=bool(public),
            name=name,
            redirect_uris=names_of(uris),
            post_logout_redirect_uris=names_of(logout_uris),
        )
        found.append(ListedClient(client, bool(disabled)))
    return found


def set_user_disabled(transaction: Transaction, name: str, *, disabled: bool) -> bool:
    """Let a user log in, or not; False if there is no such user."""
    changed = transaction.execute("UPDATE users SET disabled = ? WHERE name = ?", (int(disabled), name))
    return changed.rowcount == 1


def set_client_disabled(transaction: Transaction, client_id: str, *, disabled: bool) -> bool:
    """Let a client in, or not; False if there is no such client."""
    changed = transaction.execute(
        "UPDATE clients SET disabled = ? WHERE id = ? AND certificate_uri = ''", (int(disabled), client_id)
    )
    return changed.rowcount == 1


def set_user_password(transaction: Transaction, name: str, password_digest: str) -> bool:
    """Give a user another password; False if there is no such user."""
    changed = transaction.execute("UPDATE users SET password_digest = ? WHERE name = ?", (password_digest, name))
    return changed.rowcount == 1


def set_client_secret(transaction: Transaction, client_id: str, secret_digest: str) -> bool:
    """Give a client another secret; False if there is no such client, or it has none."""
    changed = transaction.execute(
        "UPDATE clients SET secret_digest = ? WHERE id = ? AND secret_digest <> ''", (secret_digest, client_id)
    )
    return changed.rowcount == 1


def end_all_of_user(transaction: Transaction, name: str, now: int) -> None:
    """End every session, code and token of a user, for good: they do not come back with the user."""
    sessions = transaction.execute(
        "SELECT sid FROM sessions WHERE user_name = ? AND ended_at IS NULL"
        " UNION SELECT sid FROM token_families WHERE user_name = ? AND ended_at IS NULL",
        (name, name),
    ).rows
    others = transaction.execute("SELECT digest FROM access_tokens WHERE user_name = ? AND sid = ''", (name,)).rows
    transaction.execute("UPDATE sessions SET ended_at = ? WHERE user_name = ? AND ended_at IS NULL", (now, name))
    transaction.execute("UPDATE token_families SET ended_at = ? WHERE user_name = ? AND ended_at IS NULL", (now, name))
    transaction.execute("DELETE FROM authorization_codes WHERE user_name = ? AND family_id IS NULL", (name,))
    transaction.execute("DELETE FROM access_tokens WHERE user_name = ?", (name,))
    transaction.execute("DELETE FROM login_places WHERE user_name = ?", (name,))
    revoke(transaction, [*(sid for (sid,) in sessions), *(token_grant(digest) for (digest,) in others)])


def end_all_of_client(transaction: Transaction, client_id: str, now: int) -> None:
    """End every request, code and token of a client, for good: they do not come back with the client."""
    transaction.execute(
        "UPDATE token_families SET ended_at = ? WHERE client_id = ? AND ended_at IS NULL", (now, client_id)
    )
    transaction.execute("DELETE FROM authorization_codes WHERE client_id = ? AND family_id IS NULL", (client_id,))
    transaction.execute("DELETE FROM authorization_requests WHERE client_id = ?", (client_id,))
    transaction.execute("DELETE FROM access_tokens WHERE client_id = ?", (client_id,))
    transaction.execute("UPDATE clients SET generation = generation + 1 WHERE id = ?", (client_id,))
    ended = transaction.execute("SELECT generation - 1 FROM clients WHERE id = ?", (client_id,)).rows
    revoke(transaction, [client_grant(client_id, generation) for (generation,) in ended])
