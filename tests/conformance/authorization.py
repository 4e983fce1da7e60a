"""Authorization: requests, codes, refresh tokens."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.rows import Row

__all__ = ["ROWS"]

_AUTHORIZE = "unit/test_sts_authorize.py::"
_AUTHORIZE_REFUSALS = "unit/test_sts_authorize_refusals.py::"
_CODES = "unit/test_sts_codes.py::"
_REFRESH = "unit/test_sts_refresh.py::"
_OPENID = "unit/test_sts_openid.py::"
_REFUSALS = "unit/test_sts_refusals.py::"
_DOMAIN = "unit/test_sts_domain.py::"
_RACES = "unit/test_sts_races.py::"

ROWS: Sequence[Row] = (
    Row("RFC 6749", "3.1", "The authorization endpoint takes GET", _AUTHORIZE + "test_login_then_consent_then_code"),
    Row(
        "RFC 6749",
        "3.1",
        "A parameter without a value counts as omitted",
        _REFUSALS + "test_a_parameter_without_a_value_counts_as_omitted",
    ),
    Row(
        "RFC 6749",
        "3.1",
        "A parameter that is repeated is refused",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row(
        "RFC 6749",
        "3.1",
        "Unknown parameters are ignored",
        _AUTHORIZE + "test_unknown_scopes_and_parameters_are_ignored",
    ),
    Row(
        "RFC 6749",
        "3.1.2",
        "A redirect URI is absolute and has no fragment",
        _DOMAIN + "test_redirect_uris_that_may_be_registered",
    ),
    Row(
        "RFC 6749",
        "3.1.2",
        "The query of a redirect URI is kept",
        _AUTHORIZE + "test_an_answer_keeps_the_query_of_the_redirect_uri",
    ),
    Row(
        "RFC 6749",
        "3.1.2.4",
        "Nobody is sent to a redirect URI that is not registered",
        _AUTHORIZE_REFUSALS + "test_without_a_proven_redirect_uri_the_browser_is_sent_nowhere",
    ),
    Row(
        "RFC 6749",
        "3.2.1",
        "A confidential client authenticates at the token endpoint",
        _CODES + "test_refusals_leave_the_code_as_it_is",
    ),
    Row(
        "RFC 6749",
        "3.2",
        "Parameters of a token request are not repeated",
        _REFUSALS + "test_a_repeated_parameter_is_refused",
    ),
    Row(
        "RFC 6749",
        "3.3",
        "The answer says which scopes were given if they are not those asked for",
        _CODES + "test_a_user_passes_on_only_what_it_may_itself",
    ),
    Row("RFC 6749", "4.1.2", "A code is used once", _RACES + "test_a_code_is_used_once_and_the_others_take_it_back"),
    Row(
        "RFC 6749",
        "4.1.2",
        "A code that comes again is denied, and what it gave is revoked",
        _CODES + "test_a_code_that_comes_again_takes_back_what_it_gave",
    ),
    Row("RFC 6749", "4.1.2", "A code lives for at most ten minutes", _CODES + "test_a_code_is_good_for_a_minute"),
    Row(
        "RFC 6749",
        "4.1.2",
        "A code is bound to its client and redirect URI",
        _CODES + "test_refusals_leave_the_code_as_it_is",
    ),
    Row("RFC 6749", "4.1.2", "State comes back as it was sent", _AUTHORIZE + "test_login_then_consent_then_code"),
    Row(
        "RFC 6749",
        "4.1.2.1",
        "Errors go to the client, with its state",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row("RFC 6749", "4.1.2.1", "A user can deny", _AUTHORIZE + "test_a_user_may_say_no"),
    Row(
        "RFC 6749", "5.1", "Answers with tokens are not cached", _CODES + "test_a_code_gives_the_tokens_of_its_session"
    ),
    Row("RFC 6749", "5.2", "Errors have their codes, and 401 has a challenge", _REFUSALS + "test_refusals"),
    Row(
        "RFC 6749", "6", "A refresh token is bound to its client", _REFRESH + "test_refusals_leave_the_family_as_it_is"
    ),
    Row("RFC 6749", "6", "A refresh cannot add scopes", _REFRESH + "test_refusals_leave_the_family_as_it_is"),
    Row(
        "RFC 6749",
        "6",
        "A refresh with fewer scopes keeps those of the refresh token",
        _REFRESH + "test_fewer_scopes_now_are_not_fewer_for_ever",
    ),
    Row(
        "RFC 7636",
        "4.2",
        "A code_challenge is a SHA-256, in base64url without padding",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row(
        "RFC 7636",
        "4.4.1",
        "A request without code_challenge is refused",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row(
        "RFC 7636",
        "4.6",
        "A code needs the verifier of its challenge",
        _CODES + "test_refusals_leave_the_code_as_it_is",
    ),
    Row(
        "RFC 8252",
        "7.3",
        "The port of a loopback redirect URI is free",
        _AUTHORIZE + "test_a_native_app_takes_any_port_and_asks_each_time",
    ),
    Row(
        "RFC 8252",
        "8.6",
        "A client that could be anybody is asked about each time",
        _AUTHORIZE + "test_a_native_app_takes_any_port_and_asks_each_time",
    ),
    Row(
        "RFC 9207",
        "2",
        "Every answer of the authorization endpoint names the issuer",
        _AUTHORIZE_REFUSALS + "test_other_errors_go_to_the_client",
    ),
    Row("RFC 9207", "3", "Metadata says so", _OPENID + "test_discovery_names_what_is_there"),
    Row(
        "RFC 9700",
        "2.1",
        "Redirect URIs are compared exactly",
        _AUTHORIZE_REFUSALS + "test_without_a_proven_redirect_uri_the_browser_is_sent_nowhere",
    ),
    Row(
        "RFC 9700",
        "4.14.2",
        "A rotated refresh token that comes back ends its family",
        _REFRESH + "test_after_the_grace_a_rotated_token_ends_its_family",
    ),
)
