"""Which API key is used, and who gets to see it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runner.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.job import Job
    from runner.providers.providers import Endpoint


class Key:
    """An API key that shows itself to nobody but who calls `reveal`."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """The key itself, for the Authorization header alone."""
        return self._secret

    def __repr__(self) -> str:
        return "sk-…(hidden)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is neither pickled nor copied")


def read_key(job: Job, endpoint: Endpoint, environ: Mapping[str, str]) -> Key:
    """The API key, from the job's key file or else from the endpoint's variable.

    Raises JobError, whose text never holds any part of the key.
    """
    if job.api_key_file is not None:
        place = f"--api-key-file {job.api_key_file}"
        text = _read_file(job.api_key_file, place)
    else:
        place = endpoint.api_key_env
        text = environ.get(place, "")
    secret = text.strip()
    if not secret:
        how = "it is empty" if job.api_key_file is not None else "it is not set"
        raise JobError(
            f"no API key in {place}: {how}. Set it with: export {endpoint.api_key_env}=YOUR_KEY\n"
            f"To get a key: {endpoint.key_help}\n"
            "To try everything without one: add --rehearse"
        )
    if not (secret.isascii() and secret.isprintable()) or " " in secret or secret[0] in "\"'":
        raise JobError(
            f"{place} holds no API key: there are blanks, quotes or characters in it that a key "
            "never has. Copy the key alone, without quotes, 'Bearer' or a second line"
        )
    for prefix, reason in endpoint.refused_keys.items():
        if secret.startswith(prefix):
            raise JobError(
                f"{place} holds a key that begins with {prefix}: {reason}. "
                f"Use a pay-as-you-go key instead; {endpoint.key_help}"
            )
    return Key(secret)


def _read_file(path: str, place: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise JobError(f"{place}: it is not a text file") from None
    except OSError as error:
        raise JobError(f"{place}: cannot be read: {error.strerror}") from None
