"""Who is calling: RS256 bearer tokens, checked against a public key and a clock."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.clock import Clock
from core.errors import AuthError, ConfigError, InputError
from core.events import MAX_ID_CHARS

ALGORITHM: Final = "RS256"
PARTY: Final = "foryou"
VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
MAX_TOKEN_CHARS: Final = 4096
CLOCK_SKEW_S: Final = 60


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller."""

    viewer_id: str
    role: str = VIEWER

    @property
    def is_operator(self) -> bool:
        """Whether the caller may do what viewers may not."""
        return self.role == OPERATOR


@dataclass(frozen=True, slots=True)
class DevKeys:
    """A signing key pair for development, as PEM; in production another service signs."""

    private_key: bytes
    public_key: bytes

    @classmethod
    def ensure(cls, folder: Path) -> "DevKeys":
        """The pair in `folder`, made on the first call (private.pem is 0600).

        Raises ConfigError when it cannot be read or made.
        """
        private = folder / "private.pem"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not private.exists():
                _publish(private, _new_private_key())
            private.chmod(0o600)
            pair = cls._from_private(private.read_bytes())
            public = folder / "public.pem"
            if not public.exists() or public.read_bytes() != pair.public_key:
                public.write_bytes(pair.public_key)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"The signing key in {folder} cannot be read or made ({error}); remove the folder to get a new one."
            ) from error
        return pair

    @classmethod
    def _from_private(cls, private_pem: bytes) -> "DevKeys":
        public = _signing_key(private_pem).public_key()
        public_pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(private_pem, public_pem)

    def issue(self, viewer_id: str, *, ttl_s: int, clock: Clock, role: str = VIEWER) -> str:
        """A token for the viewer that is valid for `ttl_s` seconds from now."""
        if not 0 < len(viewer_id) <= MAX_ID_CHARS:
            raise InputError(f"A viewer id has 1 to {MAX_ID_CHARS} characters.")
        if role not in (VIEWER, OPERATOR):
            raise InputError(f"The role is '{VIEWER}' or '{OPERATOR}', not '{role}'.")
        now_s = clock() // 1000
        claims = {"sub": viewer_id, "role": role, "iat": now_s, "exp": now_s + ttl_s}
        return jwt.encode(claims | {"iss": PARTY, "aud": PARTY}, _signing_key(self.private_key), ALGORITHM)


@lru_cache(maxsize=8)
def _signing_key(private_pem: bytes) -> rsa.RSAPrivateKey:
    """The key of a PEM; kept, because reading one checks its primes and takes a hundred times as long as signing."""
    key = serialization.load_pem_private_key(private_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("it is no RSA key")
    return key


def _new_private_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _publish(path: Path, content: bytes) -> None:
    """Write a whole 0600 file at `path`, unless another process was first."""
    part = path.with_suffix(f".{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink(missing_ok=True)


class Verifier:
    """Turns an Authorization header into an Identity, or raises AuthError."""

    def __init__(self, public_key: bytes, clock: Clock) -> None:
        self._clock = clock
        try:
            key = serialization.load_pem_public_key(public_key)
        except ValueError as error:
            raise ConfigError(f"The public key is no PEM key ({error}).") from error
        if not isinstance(key, rsa.RSAPublicKey):
            raise ConfigError("The public key must be an RSA key.")
        self._key = key

    def identify(self, header: str | None) -> Identity:
        """The caller named by an Authorization header."""
        if not header:
            raise AuthError("The Authorization header is missing; send 'Bearer' and a token.")
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARS:
            raise AuthError("The Authorization header is not 'Bearer' and one token.")
        return self._from_claims(self._claims(token))

    def _claims(self, token: str) -> dict[str, Any]:
        # Times are checked against our own clock afterwards; PyJWT would read the machine's.
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=PARTY,
                issuer=PARTY,
                options={
                    "require": ["sub", "iat", "exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise AuthError("The token is not one that this service accepts.") from error
        return claims

    def _from_claims(self, claims: dict[str, Any]) -> Identity:
        now_s = self._clock() / 1000
        for name in ("iat", "exp", "nbf"):
            if type(claims.get(name, 0)) is not int:
                raise AuthError(f"The token's {name} is not a whole number of seconds.")
        if claims["exp"] <= now_s:
            raise AuthError("The token has expired; ask for a new one.")
        if max(claims["iat"], claims.get("nbf", 0)) > now_s + CLOCK_SKEW_S:
            raise AuthError("The token is not valid yet; check the issuer's clock.")
        subject, role = claims["sub"], claims.get("role", VIEWER)
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_ID_CHARS:
            raise AuthError(f"The token's sub must have 1 to {MAX_ID_CHARS} characters.")
        if role not in (VIEWER, OPERATOR):
            raise AuthError("The token's role is unknown.")
        return Identity(subject, role)
