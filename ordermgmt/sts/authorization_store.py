"""The tables of requests that wait, consents and codes. Every function takes an open transaction."""

from __future__ import annotations

from ordermgmt.storage import Transaction
from ordermgmt.sts.authorization import Code, Pending
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.store import PURGE, names_of, text_of

__all__ = [
    "add_code",
    "add_consent",
    "add_pending",
    "find_code",
    "find_consent",
    "find_pending",
    "mark_consented",
    "remove_pending",
    "use_code",
]

_CONSENT = "SELECT scopes FROM consents WHERE user_name = ? AND client_id = ?"
_SESSION_OF_CODE = (
    "SELECT sid FROM sessions WHERE ended_at IS NULL AND created_at >= (SELECT not_before FROM revocation_log)"
    " AND sid = (SELECT sid FROM authorization_codes WHERE digest = ?)"
)


def add_pending(transaction: Transaction, pending: Pending, now: int) -> None:
    """Keep a request, and forget some of those that waited too long."""
    transaction.execute(
        "DELETE FROM authorization_requests WHERE id IN"
        " (SELECT id FROM authorization_requests WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (now, PURGE),
    )
    transaction.execute(
        "INSERT INTO authorization_requests (id, client_id, redirect_uri, scopes, audience, state, nonce,"
        " code_challenge, earliest_login, ask_consent, login_hint, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            pending.id,
            pending.client_id,
            pending.redirect_uri,
            text_of(pending.scopes),
            pending.audience,
            pending.state,
            pending.nonce,
            pending.code_challenge,
            pending.earliest_login,
            int(pending.ask_consent),
            pending.login_hint,
            pending.expires_at,
        ),
    )


def find_pending(transaction: Transaction, request_id: str, now: int) -> Pending | None:
    """Return a request that still waits."""
    rows = transaction.execute(
        "SELECT client_id, redirect_uri, scopes, audience, code_challenge, expires_at, state, nonce, earliest_login,"
        " ask_consent, login_hint, consented FROM authorization_requests WHERE id = ? AND expires_at > ?",
        (request_id, now),
    ).rows
    if not rows:
        return None
    client_id, redirect_uri, scopes, audience, challenge, expires_at, state, nonce, login, ask, hint, sid = rows[0]
    return Pending(
        id=request_id,
        client_id=client_id,
        redirect_uri=redirect_uri,
        scopes=names_of(scopes),
        audience=audience,
        code_challenge=challenge,
        expires_at=expires_at,
        state=state,
        nonce=nonce,
        earliest_login=login,
        ask_consent=bool(ask),
        login_hint=hint,
        consented=sid or "",
    )


def mark_consented(transaction: Transaction, request_id: str, sid: str) -> bool:
    """Note in which session the user consented to a request; False if the request is not there any more."""
    changed = transaction.execute("UPDATE authorization_requests SET consented = ? WHERE id = ?", (sid, request_id))
    return changed.rowcount == 1


def remove_pending(transaction: Transaction, request_id: str) -> bool:
    """Forget a request because it is about to be answered; False if it was answered already."""
    return transaction.execute("DELETE FROM authorization_requests WHERE id = ?", (request_id,)).rowcount == 1


def find_consent(transaction: Transaction, user: str, client_id: str) -> frozenset[str]:
    """Return what a user lets a client do."""
    rows = transaction.execute(_CONSENT, (user, client_id)).rows
    return names_of(rows[0][0]) if rows else frozenset()


def add_consent(transaction: Transaction, user: str, client_id: str, scopes: frozenset[str], now: int) -> None:
    """Let a client do `scopes`, besides what the user let it do before."""
    transaction.execute(
        "INSERT INTO consents (user_name, client_id, scopes, granted_at) VALUES (?, ?, '', ?)"
        " ON CONFLICT (user_name, client_id) DO NOTHING",
        (user, client_id, now),
    )
    rows = transaction.execute(
        f"{_CONSENT} {transaction.dialect.lock}",
        (user, client_id),
    ).rows
    transaction.execute(
        "UPDATE consents SET scopes = ?, granted_at = ? WHERE user_name = ? AND client_id = ?",
        (text_of(names_of(rows[0][0]) | scopes), now, user, client_id),
    )


def add_code(transaction: Transaction, digest: str, code: Code, now: int) -> None:
    """Keep a code, and forget some of those that nobody used in time."""
    transaction.execute(
        "DELETE FROM authorization_codes WHERE digest IN (SELECT digest FROM authorization_codes"
        " WHERE family_id IS NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (now, PURGE),
    )
    transaction.execute(
        "INSERT INTO authorization_codes (digest, client_id, user_name, sid, redirect_uri, scopes, audience, nonce,"
        " code_challenge, auth_time, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            digest,
            code.client_id,
            code.user,
            code.sid,
            code.redirect_uri,
            text_of(code.scopes),
            code.audience,
            code.nonce,
            code.code_challenge,
            code.auth_time,
            code.expires_at,
        ),
    )


def find_code(transaction: Transaction, digest: str) -> Code | None:
    """Return what a code was given for, used or expired or not; None if there is none or its user is no more."""
    rows = transaction.execute(
        "SELECT c.client_id, c.user_name, u.full_name, u.roles, c.sid, c.redirect_uri, c.scopes, c.audience, c.nonce,"
        " c.code_challenge, c.auth_time, c.expires_at, c.family_id, s.sid"
        " FROM authorization_codes c JOIN users u ON u.name = c.user_name"
        " LEFT JOIN sessions s ON s.sid = c.sid AND s.ended_at IS NULL"
        " AND s.created_at >= (SELECT not_before FROM revocation_log)"
        " WHERE c.digest = ? AND u.disabled = 0",
        (digest,),
    ).rows
    if not rows:
        return None
    client_id, user, name, roles, sid, uri, scopes, audience, nonce, challenge, auth_time, expires_at = rows[0][:12]
    family, live_sid = rows[0][12:]
    return Code(
        client_id=client_id,
        user=user,
        details=UserDetails(name, tuple(roles.split())),
        sid=sid,
        redirect_uri=uri,
        scopes=names_of(scopes),
        audience=audience,
        code_challenge=challenge,
        auth_time=auth_time,
        expires_at=expires_at,
        nonce=nonce,
        family_id=family or "",
        session_over=live_sid is None,
    )


def use_code(transaction: Transaction, digest: str, family_id: str) -> bool:
    """Use a code up for a family, which is there already; False if somebody else has used it.

    Nobody can while this transaction runs, nor can its session end: then it is False, too.
    """
    alive = transaction.execute(
        f"{_SESSION_OF_CODE} {transaction.dialect.lock}",
        (digest,),
    ).rows
    if not alive:
        return False
    changed = transaction.execute(
        "UPDATE authorization_codes SET family_id = ? WHERE digest = ? AND family_id IS NULL", (family_id, digest)
    )
    return changed.rowcount == 1
