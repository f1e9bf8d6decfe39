"""Send a small POST to an address that a user gave, and never to what only this machine can reach.

A host is resolved once, every address that it has is checked, and the connection goes to one that was checked, so a
name that means something else a moment later changes nothing. No redirect is followed and no proxy is asked.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from http.client import HTTP_PORT, HTTPS_PORT, HTTPConnection, HTTPException
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Thread, Timer
from time import monotonic
from typing import Any, NamedTuple

MAX_LENGTH = 2000
MAX_PORT = 65535

_LABEL = "[a-z0-9_-]{1,63}"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?:(?P<name>{_LABEL}(?:\.{_LABEL})*\.?)|\[(?P<ipv6>[0-9a-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<target>/[!-\"$-~]*)",
    re.IGNORECASE,
)
_FORM = "An address has the form https://host:port/path, where the port may be left out, with no user name and no fragment."
_HTTP = "An address begins with https://, since what is sent over http:// can be read on the way."
_NOT_PUBLIC = "The host of this address is not on the public internet."

_LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
_ROUTED = [ip_network("0.0.0.0/0"), ip_network("2000::/3")]
# By the registries of special-purpose addresses, and written out, since Python's versions differ in what is global.
_SPECIAL = [
    ip_network(row)
    for row in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's own services, as its machines reach them
        "169.254.0.0/16",  # link-local, where clouds keep their secrets
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",  # documentation
    )
]


class Refused(ValueError):  # noqa: N818 - it says what happened, and no one erred
    """An address may not be used; the message is one sentence for users."""


class Failed(OSError):  # noqa: N818 - the same
    """The receiver answered with something that is not HTTP, or with nothing."""


class _Place(NamedTuple):
    tls: bool
    host: str
    port: int
    target: str


def check_url(url: str, *, loopback: bool) -> None:
    """Refuse an address that can't be a receiver's, as far as it shows without asking for the host's addresses."""
    _place(url, loopback=loopback)


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of a machine on the public internet, and no other way to write a private one."""
    return _within(address, _ROUTED) and not _within(address, _SPECIAL)


def post(  # noqa: PLR0913 - a request has these parts
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    loopback: bool,
    timeout: float = 15.0,
    resolve: Callable[..., Iterable[Any]] = socket.getaddrinfo,
) -> int:
    """Send a POST and return the status of its answer; raises `Refused`, or `OSError` for what goes wrong on the way."""
    end = monotonic() + timeout
    place = _place(url, loopback=loopback)
    addresses = _resolve(place, resolve, end)
    for address in addresses:
        _check_address(address, tls=place.tls, loopback=loopback)
    connection = (_SecureConnection if place.tls else _Connection)(place, addresses[0], end)
    try:
        connection.request("POST", place.target, body, dict(headers))
        # The answer's body is left unread: it may be endless, and nobody asks for it.
        with connection.getresponse() as response:
            return response.status
    except HTTPException as error:
        raise Failed(f"the receiver did not answer: {error!r}") from error
    finally:
        connection.close()
        # What was cut off can look like an answer that ended early, so this goes before whatever was made of it.
        if connection.late:
            raise TimeoutError(f"the receiver did not answer within {timeout:g} seconds")


class _Connection(HTTPConnection):
    """A connection to an address that was checked, under its host's name, for as long as there is time."""

    def __init__(self, place: _Place, address: str, end: float) -> None:
        """Keep what to connect to; nothing is connected yet."""
        super().__init__(place.host, place.port)
        self.address, self.end, self.late = address, end, False
        self.cleanup = ExitStack()

    def connect(self) -> None:
        """Connect, and arrange the end of the connection."""
        self.sock = socket.create_connection((self.address, self.port), _left(self.end))
        # A duplicate ends the connection for both, also while TLS takes the socket's own handle over.
        handle = self.cleanup.enter_context(self.sock.dup())
        timer = Timer(max(self.end - monotonic(), 0), self._cut, [handle])
        timer.start()
        # The timer has ended before its handle is closed, so it can't cut what has the same number by then.
        self.cleanup.callback(timer.join)
        self.cleanup.callback(timer.cancel)

    def close(self) -> None:
        """Close the connection, and cancel what would have ended it."""
        super().close()
        self.cleanup.close()

    def _cut(self, handle: socket.socket) -> None:
        """End the connection from another thread; a timeout of the socket would begin again with every byte."""
        self.late = True
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)


class _SecureConnection(_Connection):
    """The same with TLS, where the certificate is of the host's name."""

    default_port = HTTPS_PORT

    def connect(self) -> None:
        """Connect, and verify the certificate; a name's closing dot is in no certificate."""
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host.removesuffix("."))


def _place(url: str, *, loopback: bool) -> _Place:
    """Take an address apart, or refuse it."""
    if len(url) > MAX_LENGTH:
        raise Refused(f"An address has at most {MAX_LENGTH} characters.")
    if not all("!" <= character <= "~" for character in url):
        raise Refused("An address has printable ASCII characters only, and no spaces.")
    parts = _URL.fullmatch(url)
    if not parts:
        raise Refused(_FORM)
    tls = parts["scheme"].lower() == "https"
    port = int(parts["port"] or (HTTPS_PORT if tls else HTTP_PORT))
    if not 1 <= port <= MAX_PORT:
        raise Refused(f"A port is a number from 1 to {MAX_PORT}.")
    host = parts["name"] or parts["ipv6"]
    literal = _ipv4(host) if parts["name"] else _ipv6(host)
    if literal:
        _check_address(literal, tls=tls, loopback=loopback)
    elif not tls and not (loopback and host.lower().removesuffix(".").rpartition(".")[2] == "localhost"):
        raise Refused(_HTTP)
    return _Place(tls, host, port, parts["target"])


def _check_address(address: str, *, tls: bool, loopback: bool) -> None:
    """Refuse an IP address that nothing may be sent to; the message keeps what a name resolves to."""
    if loopback and _within(address, _LOOPBACK):
        return
    if not tls:
        raise Refused(_HTTP)
    if not is_public(address):
        raise Refused(_NOT_PUBLIC)


def _within(address: str, networks: Iterable[Any]) -> bool:
    """Tell whether an IP address is in one of these networks; one with a scope, or that is none, is not."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return "%" not in address and any(found in network for network in networks)


def _ipv4(host: str) -> str | None:
    """Return the IPv4 address that a host is written as, in whole or in parts of any base, or None if it is a name."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _ipv6(host: str) -> str:
    """Return the IPv6 address that was in brackets, or refuse it."""
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise Refused(_FORM) from None


def _resolve(place: _Place, resolve: Callable[..., Iterable[Any]], end: float) -> list[str]:
    """Ask once for the addresses of a host, and wait no longer than there is time."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        """Resolve in a thread that can be left behind, since nothing stops the system's resolver."""
        try:
            answer.set_result([str(row[4][0]) for row in resolve(place.host, place.port, type=socket.SOCK_STREAM)])
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        found = answer.result(_left(end))
    except TimeoutError:
        raise TimeoutError("the host's addresses were not told in time") from None
    if not found:
        raise Failed("the host has no address")
    return found


def _left(end: float) -> float:
    """Return the seconds until a time; raises `TimeoutError` if it has come."""
    left = end - monotonic()
    if left <= 0:
        raise TimeoutError("there was no time left to connect")
    return left
