"""What is done with tokens once they are there: exchange, introspection, revocation, identity."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.rows import Row

__all__ = ["ROWS"]

_AUTHORIZE = "unit/test_sts_authorize.py::"
_AUTHORIZE_REFUSALS = "unit/test_sts_authorize_refusals.py::"
_REFRESH = "unit/test_sts_refresh.py::"
_INTROSPECTION = "unit/test_sts_introspection.py::"
_OPENID = "unit/test_sts_openid.py::"
_REFUSALS = "unit/test_sts_refusals.py::"
_ENDPOINT = "unit/test_sts_token_endpoint.py::"
_DOMAIN = "unit/test_sts_domain.py::"

ROWS: Sequence[Row] = (
    Row(
        "RFC 6750",
        "3",
        "A refusal at userinfo has a challenge, with an error only if a token was sent",
        _OPENID + "test_userinfo_takes_nothing_but_a_users_opaque_token",
    ),
    Row(
        "RFC 6750",
        "3.1",
        "A token without the scope gets insufficient_scope",
        _OPENID + "test_without_openid_there_is_no_id_token",
    ),
    Row("RFC 7009", "2.1", "The client authenticates", _INTROSPECTION + "test_both_want_a_client_and_a_token"),
    Row(
        "RFC 7009",
        "2.1",
        "A token of another client is not revoked",
        _INTROSPECTION + "test_nobody_revokes_anothers_token",
    ),
    Row(
        "RFC 7009",
        "2.1",
        "A revoked refresh token takes the access tokens with it",
        _INTROSPECTION + "test_a_revoked_refresh_token_takes_its_family_with_it",
    ),
    Row(
        "RFC 7009",
        "2.2",
        "An unknown token is answered 200",
        _INTROSPECTION + "test_what_is_no_token_is_not_active_and_nothing_to_revoke",
    ),
    Row(
        "RFC 7009",
        "2.2.1",
        "A kind of token that cannot be revoked is named as such",
        _INTROSPECTION + "test_a_jwt_cannot_be_revoked",
    ),
    Row("RFC 7662", "2.1", "Whoever asks authenticates", _INTROSPECTION + "test_both_want_a_client_and_a_token"),
    Row(
        "RFC 7662",
        "2.2",
        "Of a token that is not good nothing is said but active: false",
        _INTROSPECTION + "test_what_is_no_token_is_not_active_and_nothing_to_revoke",
    ),
    Row(
        "RFC 7662",
        "2.2",
        "Nor of a token that is not for the one who asks",
        _INTROSPECTION + "test_what_is_anothers_is_not_active",
    ),
    Row(
        "RFC 7662",
        "2.2",
        "A token that was revoked is not active",
        _INTROSPECTION + "test_a_logout_leaves_nothing_active",
    ),
    Row("RFC 8414", "3.2", "Metadata has no empty lists", _ENDPOINT + "test_metadata_names_what_is_there"),
    Row("RFC 8693", "2.1", "An actor_token, or its type alone, is refused", _REFUSALS + "test_refusals"),
    Row("RFC 8693", "2.2.2", "A subject_token that is not good is invalid_request", _REFUSALS + "test_refusals"),
    Row("RFC 8693", "2.2.2", "A target that is not allowed is invalid_target", _REFUSALS + "test_refusals"),
    Row("RFC 8693", "4.1", "The current actor is outermost", _DOMAIN + "test_actors_nest_with_the_latest_outside"),
    Row(
        "RFC 8705",
        "2.1",
        "A certificate authenticates the client that it names, and no other",
        _REFUSALS + "test_refusals",
    ),
    Row(
        "RFC 8705",
        "3.2",
        "Introspection says what a token is bound to",
        _INTROSPECTION + "test_a_bound_token_shows_what_it_is_bound_to",
    ),
    Row(
        "RFC 8707",
        "2",
        "A target that is unknown or not allowed is invalid_target",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row(
        "RFC 8707",
        "2.2",
        "A token request cannot change the target of an authorization",
        _REFRESH + "test_refusals_leave_the_family_as_it_is",
    ),
    Row(
        "OIDC Core",
        "2",
        "An ID token has iss, sub, aud, exp, iat, auth_time and nonce",
        _OPENID + "test_an_id_token_says_who_has_logged_in_where_and_when",
    ),
    Row("OIDC Core", "3.1.2.1", "The authorization endpoint takes POST", _AUTHORIZE + "test_a_request_may_be_posted"),
    Row(
        "OIDC Core",
        "3.1.2.1",
        "prompt=none shows no page",
        _AUTHORIZE + "test_consent_is_remembered_for_what_it_was_given_for",
    ),
    Row(
        "OIDC Core",
        "3.1.2.1",
        "prompt=none with another value is an error",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row(
        "OIDC Core",
        "3.1.2.1",
        "prompt=login asks for a new login",
        _AUTHORIZE + "test_prompt_login_takes_only_a_new_login",
    ),
    Row("OIDC Core", "3.1.2.1", "prompt=consent asks for consent", _AUTHORIZE + "test_prompt_consent_asks_again"),
    Row(
        "OIDC Core", "3.1.2.1", "max_age asks for a recent login", _AUTHORIZE + "test_max_age_takes_only_a_recent_login"
    ),
    Row(
        "OIDC Core",
        "3.1.3.6",
        "at_hash fits the access token",
        _OPENID + "test_an_id_token_says_who_has_logged_in_where_and_when",
    ),
    Row("OIDC Core", "5.3.1", "userinfo takes GET and POST", _OPENID + "test_userinfo_takes_get_and_post"),
    Row(
        "OIDC Core",
        "5.3.2",
        "userinfo has the sub of the ID token",
        _OPENID + "test_profile_adds_what_the_user_is_called",
    ),
    Row(
        "OIDC Core",
        "6.1",
        "request is refused as not supported",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
)
