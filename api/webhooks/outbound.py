"""Send a small POST to an address that a user gave, but never to a host that is not on the public internet.

A host name is resolved once, all its IP addresses are checked, and the connection goes to one of them. So a name that resolves
to something else a moment later (DNS rebinding) changes nothing. No redirect is followed, and no proxy is used.
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
# IANA's special-purpose registries, written out because Python's versions disagree on `is_global`.
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


class Refused(ValueError):  # noqa: N818 - it says what happened
    """An address is not allowed; the message is one sentence for users."""


class Failed(OSError):  # noqa: N818 - the same
    """The receiver sent no answer, or one that is not HTTP."""


class _Target(NamedTuple):
    """The parts of an address that a connection needs."""

    tls: bool
    host: str
    port: int
    path: str


def check_url(url: str, *, loopback: bool) -> None:
    """Check an address as far as possible without resolving its host name. Raises `Refused`."""
    _parse(url, loopback=loopback)


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet; one that embeds a private address is not."""
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
    """Send a POST and return the status of the answer. Raises `Refused`, and `OSError` for a network fault or a timeout.

    ``timeout`` is in seconds, for everything together.
    """
    end = monotonic() + timeout
    target = _parse(url, loopback=loopback)
    addresses = _resolve(target, resolve, end)
    for address in addresses:
        _check_address(address, tls=target.tls, loopback=loopback)
    connection = (_SecureConnection if target.tls else _Connection)(target, addresses[0], end)
    try:
        connection.request("POST", target.path, body, dict(headers))
        # The body of the answer is not read: nothing uses it, and it may be endless.
        with connection.getresponse() as response:
            return response.status
    except HTTPException as error:
        raise Failed(f"the receiver did not answer: {error!r}") from error
    finally:
        connection.close()
        # A connection that was cut can look like an answer that ended early, so the timeout wins over any other result.
        if connection.late:
            raise TimeoutError(f"the receiver did not answer within {timeout:g} seconds")


class _Connection(HTTPConnection):
    """A connection to an IP address that was checked, under the name of its host, which ends at a deadline."""

    def __init__(self, target: _Target, address: str, end: float) -> None:
        """Store the target; nothing is connected yet."""
        super().__init__(target.host, target.port)
        self.address, self.end, self.late = address, end, False
        self.cleanup = ExitStack()

    def connect(self) -> None:
        """Connect, and start the timer that ends the connection."""
        self.sock = socket.create_connection((self.address, self.port), _left(self.end))
        # Shutting down a duplicate of the socket ends the connection, also while TLS is taking over the socket itself.
        handle = self.cleanup.enter_context(self.sock.dup())
        timer = Timer(max(self.end - monotonic(), 0), self._cut, [handle])
        timer.start()
        # The timer ends before its handle is closed: another connection could have the same file descriptor by then.
        self.cleanup.callback(timer.join)
        self.cleanup.callback(timer.cancel)

    def close(self) -> None:
        """Close the connection, and cancel its timer."""
        super().close()
        self.cleanup.close()

    def _cut(self, handle: socket.socket) -> None:
        """End the connection from the timer's thread; a socket's own timeout starts again with every byte."""
        self.late = True
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)


class _SecureConnection(_Connection):
    """The same with TLS; the certificate must be valid for the host."""

    default_port = HTTPS_PORT

    def connect(self) -> None:
        """Connect, and verify the certificate; certificates have names without a trailing dot."""
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host.removesuffix("."))


def _parse(url: str, *, loopback: bool) -> _Target:
    """Return the parts of an address. Raises `Refused`."""
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
    return _Target(tls, host, port, parts["target"])


def _check_address(address: str, *, tls: bool, loopback: bool) -> None:
    """Raise `Refused` for an IP address that is not allowed; the message does not reveal what a name resolves to."""
    if loopback and _within(address, _LOOPBACK):
        return
    if not tls:
        raise Refused(_HTTP)
    if not is_public(address):
        raise Refused(_NOT_PUBLIC)


def _within(address: str, networks: Iterable[Any]) -> bool:
    """Tell whether an IP address is in one of these networks; one with a zone, or a text that is no IP address, is not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return "%" not in address and any(ip in network for network in networks)


def _ipv4(host: str) -> str | None:
    """Return the IPv4 address of a host in any notation that the system takes, such as `0x7f.1`; None for a name."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _ipv6(host: str) -> str:
    """Return the IPv6 address between brackets in normal form. Raises `Refused`."""
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise Refused(_FORM) from None


def _resolve(target: _Target, resolve: Callable[..., Iterable[Any]], end: float) -> list[str]:
    """Return the IP addresses of a host. Raises `TimeoutError` at the deadline, and `Failed` if there is none."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        """Resolve in a thread of its own, which can be abandoned: nothing can stop the system's resolver."""
        try:
            answer.set_result([str(row[4][0]) for row in resolve(target.host, target.port, type=socket.SOCK_STREAM)])
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        addresses = answer.result(_left(end))
    except TimeoutError:
        raise TimeoutError("the host name was not resolved in time") from None
    if not addresses:
        raise Failed("the host has no address")
    return addresses


def _left(end: float) -> float:
    """Return the seconds until a deadline. Raises `TimeoutError` if it has passed."""
    left = end - monotonic()
    if left <= 0:
        raise TimeoutError("there was no time left to connect")
    return left
