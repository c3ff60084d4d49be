"""From a reference, ``env:NAME``, ``file:/path`` or ``credential:NAME``, to the secret it leads to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from syncd.config.files import content
from syncd.config.problems import Refused
from syncd.config.urls import url
from syncd.core.secret import Secret

KEY_PREFIX = "vvx_live_"
# Long enough not to mistake a file called vvx_live_prod for a key. Slack's are known by their look too.
LITERAL = re.compile(
    rf"{KEY_PREFIX}(?:[A-Za-z0-9]{{8,}}|[A-Za-z0-9_-]{{16,}})|xox[a-z]-[A-Za-z0-9-]{{10,}}|hooks\.slack\.com/services/\S"
)
LITERAL_MESSAGE = "a literal secret is refused: whoever reads this file could use it"
LITERAL_HINT = 'revoke it, and give the new one as "env:NAME", "file:/path" or "credential:NAME"'

_REFERENCE_HINT = 'write "env:NAME", "file:/path" or "credential:NAME"'
# What may follow each scheme, and what is said of anything else.
_FORMS = {
    "env": (
        re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
        "env: is not followed by the name of a variable",
        'write "env:VIVIX_KEY", without $',
    ),
    "file": (
        re.compile(r"[^~].*"),
        "file: is not followed by a path",
        'write "file:/path", absolute or from the folder of this file',
    ),
    "credential": (
        re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}"),
        "credential: is not followed by the name of a credential",
        "a name without slashes",
    ),
}
_LARGEST_SECRET = 64 * 1024


def parts(reference: str) -> tuple[str, str]:
    """The scheme and what follows it. What is no reference is taken for a secret and never quoted."""
    scheme, _, name = reference.partition(":")
    if scheme not in _FORMS:
        raise Refused(LITERAL_MESSAGE, LITERAL_HINT if reference.startswith(KEY_PREFIX) else _REFERENCE_HINT)
    form, message, hint = _FORMS[scheme]
    if not form.fullmatch(name) or not name.isprintable():
        raise Refused(message, hint)
    return scheme, name


def unresolved(reference: str) -> Secret:
    """An empty stand-in for who needs no key; the form of the reference is still checked."""
    parts(reference)
    return Secret("")


# What a secret has to look like: raises `Refused`, told where the text was found, without showing any of it.
Form = Callable[[str, str], None]


def resolve(reference: str, environ: Mapping[str, str], folder: Path, form: Form) -> Secret:
    """The secret that `reference` leads to; a relative path starts at `folder`."""
    scheme, name = parts(reference)
    match scheme:
        case "env":
            where, value = f"the environment variable {name}", _variable(name, environ)
        case "file":
            where, value = f"the file {folder / name}", _text(folder / name)
        case _:
            where, value = f"the credential {name}", _credential(name, environ)
    if fault := _fault_of(value):
        raise Refused(f"{where} {fault}", "store the secret alone, as it was shown to you")
    form(where, value)
    return Secret(value)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if (value := environ.get(name)) is None:
        raise Refused(f"the environment variable {name} is not set", "set it where syncd is started")
    return value


def _credential(name: str, environ: Mapping[str, str]) -> str:
    if not (folder := environ.get("CREDENTIALS_DIRECTORY")):
        raise Refused(
            f"the credential {name} cannot be read: CREDENTIALS_DIRECTORY is not set",
            f"start syncd by systemd with LoadCredential={name}:/path, or write file:/path",
        )
    try:
        return _text(Path(folder) / name)
    except Refused as refused:
        raise Refused(refused.message, f"check LoadCredential={name}:/path in the unit") from None


def _text(path: Path) -> str:
    # Anything that is no UTF-8 becomes a character that is refused just below.
    return content(path, _LARGEST_SECRET).decode("utf-8", "replace").rstrip("\r\n")


def vivix_key(where: str, value: str) -> None:
    """A key of the vendor's."""
    if not value.startswith(KEY_PREFIX):
        raise Refused(f"{where} is not a Vivix key: it does not start with {KEY_PREFIX}", "copy the whole key")


def slack_token(where: str, value: str) -> None:
    """A bot's token: a user's (xoxp-) would post in that person's name."""
    if not value.startswith("xoxb-"):
        raise Refused(f"{where} is not a bot token: it does not start with xoxb-", "copy the Bot User OAuth Token")


def webhook_url(where: str, value: str) -> None:
    """An incoming webhook's address, which is a secret as a whole. Plain http is for tests on this machine."""
    try:
        parts = url(value, "copy the whole URL")
    except Refused as refused:
        raise Refused(f"{where} {refused.message}", refused.hint) from None
    if parts.user or not parts.safe:
        raise Refused(f"{where} is not the address of a webhook: it does not start with https://", "copy the whole URL")


def _fault_of(value: str) -> str | None:
    """What makes a text unfit to be sent in a header, without showing any of it."""
    if not value:
        return "is empty"
    if re.search(r"\s", value):
        return "holds white space"
    if re.search("[\"'`\u2018\u2019\u201c\u201d]", value):
        return "holds a quote"
    if not (value.isascii() and value.isprintable()):
        return "holds a character that is invisible or not ASCII"
    return None
