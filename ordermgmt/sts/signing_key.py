"""The key that signs: made on the first start, kept in the database."""

from __future__ import annotations

from functools import partial

from ordermgmt.errors import StartError
from ordermgmt.security.keys import SigningAlgorithm, SigningKey
from ordermgmt.storage import Database
from ordermgmt.sts import store
from ordermgmt.sts.store import StoredKey
from ordermgmt.threads import Threads

__all__ = ["open_signing_key"]


async def open_signing_key(
    database: Database, algorithm: SigningAlgorithm, *, now: float, threads: Threads
) -> SigningKey:
    """Return the key that is kept; without one make one for `algorithm` and keep it before it signs anything.

    Of several starts at once all return the same key. Raises StartError if what is kept cannot be read.
    """
    stored = await database.read(store.active_key)
    if stored is None:
        made = await threads.run(partial(SigningKey.generate, algorithm))
        first = StoredKey(made.kid, algorithm, made.to_pem().decode(), int(now))
        stored = await database.write(lambda transaction: store.add_first_key(transaction, first))
    try:
        return SigningKey.from_pem(stored.private_pem.encode())
    except ValueError as error:
        msg = f"the signing key {stored.kid} in the token service's database is damaged: {error}"
        raise StartError(msg) from error
