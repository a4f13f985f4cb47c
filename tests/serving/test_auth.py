"""Which tokens are accepted, and what is said about the others."""

import hashlib
import hmac
import json
import stat
from base64 import urlsafe_b64encode

import jwt
import pytest

from core.errors import AuthError, ConfigError, InputError
from serving.auth import DevKeys, Identity, Verifier
from tests.serving.fakes import NOW_MS, HandClock

NOW_S = NOW_MS // 1000


def claims(**changes):
    whole = {
        "sub": "ann",
        "role": "viewer",
        "iat": NOW_S,
        "exp": NOW_S + 900,
        "iss": "foryou",
        "aud": "foryou",
    } | changes
    return {name: value for name, value in whole.items() if value is not ...}


def signed(keys, **changes):
    return jwt.encode(claims(**changes), keys.private_key, "RS256")


def unsigned(header, payload, secret=b""):
    def part(raw):
        return urlsafe_b64encode(raw).rstrip(b"=")

    text = part(json.dumps(header).encode()) + b"." + part(json.dumps(payload).encode())
    mac = part(hmac.digest(secret, text, hashlib.sha256)) if secret else b""
    return (text + b"." + mac).decode()


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def verifier(keys, clock):
    return Verifier(keys.public_key, clock)


def test_the_issued_token_names_viewer_and_role(keys, verifier, clock):
    token = keys.issue("ann", ttl_s=900, clock=clock, role="operator")
    assert verifier.identify(f"Bearer {token}") == Identity("ann", "operator")
    assert verifier.identify(f"bearer  {token}").is_operator


def test_a_token_without_a_role_is_a_viewers(keys, verifier):
    token = signed(keys, role=...)
    assert verifier.identify(f"Bearer {token}") == Identity("ann", "viewer")


def test_a_token_lives_until_its_last_second_by_the_given_clock(keys, verifier, clock):
    token = keys.issue("ann", ttl_s=900, clock=clock)
    clock.now_ms += 899_999
    assert verifier.identify(f"Bearer {token}").viewer_id == "ann"
    clock.now_ms += 1
    with pytest.raises(AuthError, match="expired"):
        verifier.identify(f"Bearer {token}")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5000]
)
def test_a_missing_or_malformed_header_is_refused(verifier, header):
    with pytest.raises(AuthError):
        verifier.identify(header)


def test_a_token_signed_by_another_key_is_refused(verifier, clock, tmp_path):
    stranger = DevKeys.ensure(tmp_path)
    with pytest.raises(AuthError):
        verifier.identify(f"Bearer {stranger.issue('ann', ttl_s=900, clock=clock)}")


def test_an_unsigned_token_is_refused(verifier):
    for algorithm in ("none", "None", "NONE"):
        with pytest.raises(AuthError):
            verifier.identify("Bearer " + unsigned({"alg": algorithm, "typ": "JWT"}, claims()))


def test_a_token_that_uses_the_public_key_as_a_shared_secret_is_refused(keys, verifier):
    forged = unsigned({"alg": "HS256", "typ": "JWT"}, claims(), secret=keys.public_key)
    with pytest.raises(AuthError):
        verifier.identify(f"Bearer {forged}")


def test_a_token_whose_payload_was_changed_is_refused(keys, verifier):
    head, _, signature = signed(keys).split(".")
    _, payload, _ = signed(keys, sub="bob").split(".")
    with pytest.raises(AuthError):
        verifier.identify(f"Bearer {head}.{payload}.{signature}")


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ""},
        {"sub": "x" * 129},
        {"sub": ...},
        {"sub": 7},
        {"role": "root"},
        {"role": ["operator"]},
        {"iss": "elsewhere"},
        {"iss": ...},
        {"aud": "elsewhere"},
        {"aud": ...},
        {"iat": ...},
        {"iat": NOW_S + 61},
        {"nbf": NOW_S + 61},
        {"exp": ...},
        {"exp": NOW_S},
        {"exp": True},
        {"exp": NOW_S + 0.5},
    ],
)
def test_a_claim_that_is_wrong_or_absent_is_refused(keys, verifier, changes):
    # Signed as bytes, because PyJWT refuses to encode some of these.
    payload = json.dumps(claims(**changes)).encode()
    token = jwt.api_jws.encode(payload, keys.private_key, "RS256")
    with pytest.raises(AuthError):
        verifier.identify(f"Bearer {token}")


def test_no_token_is_issued_for_an_empty_or_overlong_viewer_or_an_unknown_role(keys, clock):
    for viewer, role in (("", "viewer"), ("x" * 129, "viewer"), ("ann", "root")):
        with pytest.raises(InputError):
            keys.issue(viewer, ttl_s=900, clock=clock, role=role)


def test_the_keys_are_made_once_and_the_private_one_is_for_its_owner_alone(tmp_path):
    folder = tmp_path / "home" / "keys"
    first = DevKeys.ensure(folder)
    assert DevKeys.ensure(folder) == first
    assert stat.S_IMODE((folder / "private.pem").stat().st_mode) == 0o600
    assert (folder / "public.pem").read_bytes() == first.public_key
    assert sorted(path.name for path in folder.iterdir()) == ["private.pem", "public.pem"]


def test_a_lost_public_key_is_written_again(tmp_path):
    keys = DevKeys.ensure(tmp_path)
    (tmp_path / "public.pem").unlink()
    assert DevKeys.ensure(tmp_path) == keys
    assert (tmp_path / "public.pem").read_bytes() == keys.public_key


def test_a_damaged_private_key_is_a_configuration_error(tmp_path):
    DevKeys.ensure(tmp_path)
    (tmp_path / "private.pem").write_text("no key")
    with pytest.raises(ConfigError, match="signing key"):
        DevKeys.ensure(tmp_path)


def test_a_public_key_that_is_none_is_a_configuration_error(clock):
    with pytest.raises(ConfigError):
        Verifier(b"no key", clock)
