"""Core's exception tree; every message is one sentence: what was wrong, where, what to do.

ForyouError
 +- InputError          what a user gave cannot be used
 |   +- NotFound        it names something that does not exist
 |   +- TooLarge        it is over a stated limit
 |   +- CursorError     a cursor that was tampered with, expired or is foreign
 +- ConfigError         a setting or the environment is wrong
 +- AuthError           no valid identity
 |   +- Forbidden       a valid identity that may not do this
 +- Unavailable         an outside system does not answer (retry later)
 |   +- StorageFull     no space is left
 +- CorruptData         stored bytes are not what was written
 |   +- SchemaMismatch  they were written under another schema
 +- NothingNew          there is nothing to do, and nothing is wrong
 +- ContractError       a stage broke its contract (a bug, never a user's fault)
"""


class ForyouError(Exception):
    """Base of every error that the product raises on purpose."""

    exit_code = 1
    http_status = 500

    @property
    def sentence(self) -> str:
        """The message, which is one sentence for a person."""
        return str(self.args[0]) if self.args else type(self).__name__


class InputError(ForyouError):
    """What a user gave cannot be used."""

    exit_code = 2
    http_status = 400


class NotFound(InputError):
    """The input names something that does not exist."""

    exit_code = 3
    http_status = 404


class TooLarge(InputError):
    """The input is over a stated limit."""

    http_status = 413


class CursorError(InputError):
    """A cursor was tampered with, has expired or belongs to another viewer."""


class ConfigError(ForyouError):
    """A setting or the environment is wrong."""

    exit_code = 4


class AuthError(ForyouError):
    """The caller has no valid identity."""

    exit_code = 5
    http_status = 401


class Forbidden(AuthError):
    """The caller's identity is valid and may not do this."""

    http_status = 403


class Unavailable(ForyouError):
    """An outside system does not answer; retry later."""

    exit_code = 6
    http_status = 503


class StorageFull(Unavailable):
    """No space is left where the product writes."""

    http_status = 507


class CorruptData(ForyouError):
    """Stored bytes are not what was written."""

    exit_code = 7


class SchemaMismatch(CorruptData):
    """Stored data was written under another schema."""


class NothingNew(ForyouError):
    """There is nothing to do, and nothing is wrong."""

    exit_code = 0
    http_status = 409


class ContractError(ForyouError):
    """A stage broke its contract: a bug in the product."""
