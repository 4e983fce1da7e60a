"""The tables of token families and refresh tokens. Every function takes an open transaction."""

from __future__ import annotations

from ordermgmt.storage import Transaction
from ordermgmt.sts.contract import OIDC_SCOPES
from ordermgmt.sts.domain import Authority, client_grant, token_grant
from ordermgmt.sts.family import Family
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.revocation_store import revoke
from ordermgmt.sts.store import PURGE, names_of, text_of

__all__ = [
    "add_family",
    "end_families_of_session",
    "end_family",
    "find_family",
    "repeat",
    "rotate",
]


def add_family(transaction: Transaction, family: Family, now: int) -> None:
    """Keep a family with its first refresh token, if it has one, and forget some of those that are over."""
    transaction.execute(
        "DELETE FROM token_families WHERE id IN"
        " (SELECT id FROM token_families WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
        (now, PURGE),
    )
    authority = family.authority
    transaction.execute(
        "INSERT INTO token_families (id, client_id, user_name, sid, scopes, audience, created_at, expires_at, ends_at,"
        " current_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            family.id,
            authority.client_id,
            authority.subject,
            authority.sid,
            text_of(authority.scopes),
            authority.audience,
            now,
            family.expires_at,
            authority.expires_at,
            family.current or None,
        ),
    )
    if family.current:
        _add_refresh_token(transaction, family.current, family.id, now)


def find_family(transaction: Transaction, digest: str, issuer: str) -> Family | None:
    """Return the family of a refresh token, whatever became of either; None if its client or user is no more.

    What was taken from the client or the user meanwhile is not among its scopes.
    """
    rows = transaction.execute(
        "SELECT f.id, f.client_id, f.user_name, f.sid, f.scopes, f.audience, f.expires_at, f.ends_at, f.current_digest,"
        " f.previous_digest, f.rotated_at, f.ended_at, s.ended_at, u.full_name, u.roles, u.scopes, c.scopes,"
        " c.generation, f.created_at < (SELECT not_before FROM revocation_log)"
        " FROM refresh_tokens r JOIN token_families f ON f.id = r.family_id JOIN clients c ON c.id = f.client_id"
        " JOIN users u ON u.name = f.user_name LEFT JOIN sessions s ON s.sid = f.sid"
        " WHERE r.digest = ? AND c.disabled = 0 AND u.disabled = 0",
        (digest,),
    ).rows
    if not rows:
        return None
    family_id, client_id, user, sid, scopes, audience, expires_at, ends_at, current, previous, rotated_at = rows[0][:11]
    family_ended, session_ended, full_name, roles, of_user, of_client, generation, too_old = rows[0][11:]
    left = names_of(scopes) & names_of(of_client) & (names_of(of_user) | OIDC_SCOPES)
    authority = Authority(
        issuer=issuer,
        subject=user,
        scopes=left,
        audience=audience,
        expires_at=ends_at,
        client_id=client_id,
        user=UserDetails(full_name, tuple(roles.split())),
        sid=sid,
        family=family_id,
        generation=generation,
        revocable_by=(client_grant(client_id, generation), family_id),
    )
    return Family(
        id=family_id,
        authority=authority,
        expires_at=expires_at,
        current=current or "",
        previous=previous or "",
        rotated_at=rotated_at or 0,
        ended=family_ended is not None or session_ended is not None or bool(too_old),
    )


def rotate(transaction: Transaction, family: Family, successor: str, now: int, ends_at: int) -> bool:
    """Put the refresh token `successor` in the place of the current one; False if that has changed meanwhile."""
    changed = transaction.execute(
        "UPDATE token_families SET current_digest = ?, previous_digest = current_digest, rotated_at = ?, ends_at = ?"
        " WHERE id = ? AND current_digest = ? AND ended_at IS NULL",
        (successor, now, ends_at, family.id, family.current),
    )
    if changed.rowcount == 1:
        _add_refresh_token(transaction, successor, family.id, now)
    return changed.rowcount == 1


def repeat(transaction: Transaction, family: Family, successor: str, now: int, ends_at: int) -> bool:
    """Put `successor` in the place of what the last rotation gave, which dies with its access tokens.

    False if there was another rotation meanwhile.
    """
    changed = transaction.execute(
        "UPDATE token_families SET current_digest = ?, ends_at = ?"
        " WHERE id = ? AND previous_digest = ? AND rotated_at = ? AND ended_at IS NULL",
        (successor, ends_at, family.id, family.previous, family.rotated_at),
    )
    if changed.rowcount == 1:
        dead = transaction.execute(
            "SELECT digest FROM access_tokens WHERE family_id = ? AND issued_at >= ?", (family.id, family.rotated_at)
        ).rows
        for (digest,) in dead:
            transaction.execute("DELETE FROM access_tokens WHERE digest = ?", (digest,))
        _add_refresh_token(transaction, successor, family.id, now)
        revoke(transaction, [token_grant(digest) for (digest,) in dead])
    return changed.rowcount == 1


def end_family(transaction: Transaction, family_id: str, now: int) -> None:
    """End a family and all that came of it. Its refresh tokens stay known, as dead ones."""
    changed = transaction.execute(
        "UPDATE token_families SET ended_at = ? WHERE id = ? AND ended_at IS NULL", (now, family_id)
    )
    transaction.execute("DELETE FROM access_tokens WHERE family_id = ?", (family_id,))
    if changed.rowcount == 1:
        revoke(transaction, [family_id])


def end_families_of_session(transaction: Transaction, sid: str, now: int) -> None:
    """End every family that came of a session, and their access tokens."""
    transaction.execute("UPDATE token_families SET ended_at = ? WHERE sid = ? AND ended_at IS NULL", (now, sid))
    transaction.execute(
        "DELETE FROM access_tokens WHERE family_id IN (SELECT id FROM token_families WHERE sid = ?)", (sid,)
    )


def _add_refresh_token(transaction: Transaction, digest: str, family_id: str, now: int) -> None:
    transaction.execute(
        "INSERT INTO refresh_tokens (digest, family_id, issued_at) VALUES (?, ?, ?)", (digest, family_id, now)
    )
