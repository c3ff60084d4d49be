"""Reading a URL without trusting it to be one: where it leads, and whether a secret may travel there."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from syncd.config.problems import Refused

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of an http or https URL that names a host."""

    scheme: str
    host: str
    port: int | None
    path: str
    more: bool  # a query or a fragment, be it empty
    user: bool  # a user name or password

    @property
    def origin(self) -> str:
        """``scheme://host[:port]``."""
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{bracketed}" + (f":{self.port}" if self.port is not None else "")

    @property
    def safe(self) -> bool:
        """Whether nobody on the way reads along: https, or http that does not leave this machine."""
        if self.scheme == "https":
            return True
        address = _address(self.host)
        return address.is_loopback if address else self.host == "localhost"


def url(value: object, hint: str) -> Url:
    """The URL. Raises `Refused` with this hint if it is none that a request could be sent to."""
    # Before parsing: urlsplit silently drops tabs and line ends.
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise Refused("is not a URL", hint)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("is not a URL", hint) from None
    if parts.scheme not in ("http", "https"):
        raise Refused("is not an https URL", hint)
    if "@" not in parts.netloc and _address(host) is None and not _HOST_NAME.fullmatch(host):
        raise Refused("names no host", hint)
    return Url(parts.scheme, host, port, parts.path, more="?" in value or "#" in value, user="@" in parts.netloc)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
