"""Keeping users and clients. It may be done while the service runs, which reads them anew for each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ordermgmt.clock import Clock
from ordermgmt.errors import Conflict, InvalidRequest, NotFound
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.passwords import Passwords
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import account_store, revocation_store, store
from ordermgmt.sts.account_store import ListedClient, ListedUser
from ordermgmt.sts.contract import ORDER_SCOPES
from ordermgmt.sts.mint import token_digest
from ordermgmt.sts.registration import Client, UserDetails, check_client, is_user_name
from ordermgmt.sts.store import StoredUser

__all__ = ["Accounts"]

MIN_PASSWORD = 12
"""Characters of a password."""
_PASSWORD_BYTES, _SECRET_BYTES = 15, 32


class Accounts:
    """Adds, lists and changes users and clients, and ends all that was issued to them."""

    def __init__(self, database: Database, passwords: Passwords, entropy: Entropy, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._entropy = entropy
        self._clock = clock

    def new_password(self) -> str:
        """Make a password that nobody guesses: 20 characters."""
        return new_id(self._entropy, _PASSWORD_BYTES)

    async def add_user(self, name: str, details: UserDetails, scopes: frozenset[str], password: str) -> None:
        """Add a user. Raises InvalidRequest saying what cannot be, or Conflict("user-exists")."""
        if not is_user_name(name):
            msg = "a name is up to 64 letters, digits, '.', '_', '@' and '-', and begins with a letter or digit"
            raise InvalidRequest("invalid-name", msg)
        if not scopes <= ORDER_SCOPES:
            raise InvalidRequest("invalid-scope", f"a user's scopes are among {', '.join(sorted(ORDER_SCOPES))}")
        if not all(role and role.isprintable() and " " not in role for role in details.roles):
            raise InvalidRequest("invalid-role", "a role is a word")
        if not details.name.isprintable():
            raise InvalidRequest("invalid-full-name", "a full name is printable text")
        user = StoredUser(name, details, scopes, await self._digest(name, password))
        if not await self._database.write(lambda transaction: account_store.add_user(transaction, user)):
            raise Conflict("user-exists", f"there is a user {name} already")

    async def add_client(self, client: Client) -> str:
        """Add a client, and return its new secret, which is kept nowhere; empty for a public one.

        Raises InvalidRequest saying what cannot be, or Conflict("client-exists").
        """
        check_client(client)
        secret = "" if client.public else new_id(self._entropy, _SECRET_BYTES)
        kept = replace(client, secret_digest=token_digest(secret) if secret else "")
        if not await self._database.write(lambda transaction: account_store.add_client(transaction, kept)):
            raise Conflict("client-exists", f"there is a client {client.id} already")
        return secret

    async def users(self) -> list[ListedUser]:
        """Return all users, by name."""
        return await self._database.read(account_store.list_users)

    async def clients(self) -> list[ListedClient]:
        """Return all clients that are registered, by id. The suite's own services are not among them."""
        return await self._database.read(account_store.list_clients)

    async def disable_user(self, name: str) -> None:
        """Let a user log in no more, and end its sessions and tokens at once. Raises NotFound("no-such-user")."""
        await self._change_user(
            name, lambda transaction: account_store.set_user_disabled(transaction, name, disabled=True), end=True
        )

    async def enable_user(self, name: str) -> None:
        """Let a user log in again. Raises NotFound("no-such-user")."""
        await self._change_user(
            name, lambda transaction: account_store.set_user_disabled(transaction, name, disabled=False), end=False
        )

    async def reset_user(self, name: str, password: str) -> None:
        """Give a user another password, and end its sessions and tokens: somebody else may have made them.

        Raises InvalidRequest if the password will not do, or NotFound("no-such-user").
        """
        digest = await self._digest(name, password)
        await self._change_user(
            name, lambda transaction: account_store.set_user_password(transaction, name, digest), end=True
        )

    async def disable_client(self, client_id: str) -> None:
        """Let a client in no more, and end its tokens at once. Raises NotFound("no-such-client")."""
        await self._change_client(
            client_id,
            lambda transaction: account_store.set_client_disabled(transaction, client_id, disabled=True),
            end=True,
        )

    async def enable_client(self, client_id: str) -> None:
        """Let a client in again. Raises NotFound("no-such-client")."""
        await self._change_client(
            client_id,
            lambda transaction: account_store.set_client_disabled(transaction, client_id, disabled=False),
            end=False,
        )

    async def reset_client(self, client_id: str) -> str:
        """Give a client another secret and return it, and end its tokens. Raises NotFound("no-such-client")."""
        secret = new_id(self._entropy, _SECRET_BYTES)
        await self._change_client(
            client_id,
            lambda transaction: account_store.set_client_secret(transaction, client_id, token_digest(secret)),
            end=True,
            missing=f"there is no client {client_id} with a secret",
        )
        return secret

    async def revoke_all(self) -> None:
        """End every session, code and token that was issued until now, of whomever; users and clients stay.

        A service that follows the stream learns it as it learns of any other revocation.
        """
        epoch = new_id(self._entropy)

        def save(transaction: Transaction) -> None:
            store.end_all_sessions(transaction)
            revocation_store.start_epoch(transaction, epoch)

        await self._database.write(save)

    async def _change_user(self, name: str, change: Callable[[Transaction], bool], *, end: bool) -> None:
        now = int(self._clock.now())

        def save(transaction: Transaction) -> None:
            if not change(transaction):
                raise NotFound("no-such-user", f"there is no user {name}")
            if end:
                account_store.end_all_of_user(transaction, name, now)

        await self._database.write(save)

    async def _change_client(
        self, client_id: str, change: Callable[[Transaction], bool], *, end: bool, missing: str = ""
    ) -> None:
        now = int(self._clock.now())

        def save(transaction: Transaction) -> None:
            if not change(transaction):
                raise NotFound("no-such-client", missing or f"there is no client {client_id}")
            if end:
                account_store.end_all_of_client(transaction, client_id, now)

        await self._database.write(save)

    async def _digest(self, name: str, password: str) -> str:
        if len(password) < MIN_PASSWORD:
            raise InvalidRequest("weak-password", f"a password has at least {MIN_PASSWORD} characters")
        if name.casefold() in password.casefold() and len(password) - len(name) < MIN_PASSWORD:
            raise InvalidRequest("weak-password", "a password is more than the user's name")
        return await self._passwords.digest(password)
