"""Trusted proxies: who the client is, and by which address it reached us, when a proxy is in between (RFC 7239)."""

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.http import parse_dict_header

Environ = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
logger = logging.getLogger(__name__)


class Hop(NamedTuple):
    """One request on its way to us: where it came from, and the scheme and host that it named; empty if not said."""

    client: str
    scheme: str = ""
    host: str = ""


class Proxies:
    """Lets trusted proxies say who the client is.

    werkzeug's ProxyFix counts hops, so a client that reaches the server directly could name any address.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        """Trust the proxies in some networks."""
        self.trusted = trusted
        self.has_hinted = False
        self.is_trusted = lru_cache(maxsize=1024)(self._is_trusted)

    def read(self, environ: Environ) -> None:
        """Set the client address, scheme and host of a WSGI request from the headers of its proxies."""
        if "HTTP_X_FORWARDED_FOR" not in environ and "HTTP_FORWARDED" not in environ:
            return
        peer = environ.get("REMOTE_ADDR", "")
        if not self.is_trusted(peer):
            self._hint(f"{peer} is not a trusted proxy, so its X-Forwarded-For is ignored; if it is yours, set TRUSTED_PROXIES")
            return
        hops = [self._client_hop(hops) for hops in (_forwarded(environ), _x_forwarded(environ)) if hops]
        # A proxy sets one of the two headers and may pass on the other, which then is whatever the client wrote.
        if len({hop.client for hop in hops}) != 1:
            self._hint(f"the Forwarded and X-Forwarded-For from {peer} name different clients, so both are ignored")
            return
        environ["REMOTE_ADDR"] = hops[0].client
        environ["wsgi.url_scheme"] = next((hop.scheme for hop in hops if hop.scheme), environ["wsgi.url_scheme"])
        if host := next((hop.host for hop in hops if hop.host), ""):
            environ["HTTP_HOST"] = host

    def _client_hop(self, hops: Sequence[Hop]) -> Hop:
        """Return the hop of the last address that is not a trusted proxy: the client could have invented those before it."""
        return next((hop for hop in reversed(hops) if not self.is_trusted(hop.client)), hops[0])

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self.trusted)

    def _hint(self, text: str) -> None:
        if not self.has_hinted:
            self.has_hinted = True
            logger.warning("%s", text)


def proxies_of(app: Flask) -> Proxies:
    """Return the proxies that an application believes."""
    result: Proxies = app.extensions["proxies"]
    return result


def networks(text: str) -> list[Network]:
    """Return the addresses and networks of a list that is separated by commas. Raises ValueError."""
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


def _forwarded(environ: Mapping[str, str]) -> list[Hop]:
    """Return the hops of `Forwarded`, the nearest last."""
    elements = [parse_dict_header(part.replace(";", ",")) for part in environ.get("HTTP_FORWARDED", "").split(",")]
    rows = [{name.lower().strip(): value or "" for name, value in element.items()} for element in elements]
    return [Hop(_address(row["for"]), _scheme(row.get("proto", "")), row.get("host", "")) for row in rows if row.get("for")]


def _x_forwarded(environ: Mapping[str, str]) -> list[Hop]:
    """Return the hops of `X-Forwarded-For`, `-Proto` and `-Host`, the nearest last."""
    clients, schemes, hosts = (
        [part.strip() for part in environ.get(f"HTTP_X_FORWARDED_{name}", "").split(",") if part.strip()]
        for name in ("FOR", "PROTO", "HOST")
    )
    # A proxy may replace a header that others append to: then the list is shorter, and its first item is the client's.
    return [
        Hop(_address(client), _scheme(_nth_last(schemes, distance)), _nth_last(hosts, distance))
        for distance, client in zip(range(len(clients), 0, -1), clients, strict=True)
    ]


def _nth_last(values: Sequence[str], distance: int) -> str:
    return values[-min(distance, len(values))] if values else ""


def _scheme(text: str) -> str:
    return text.lower() if text.lower() in {"http", "https"} else ""


def _address(text: str) -> str:
    """Return an address without its port and brackets."""
    text = text.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
