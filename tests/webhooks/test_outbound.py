"""What is sent to an address that a user gave, where it goes, and where it never goes."""

import ipaddress
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from api.webhooks.outbound import Failed, Refused, check_url, is_public, post
from tests.support.receivers import LOOPBACK_FORMS, NEVER, OK, PUBLIC, answering, listening, told

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - the same
    *["0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255"],
    *["169.254.0.0", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255", "192.0.2.1"],
    *["192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1"],
    *["168.63.129.16", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255"],
    *["::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1"],
    *["1fff:ffff::", "2001::1", "2001:1ff:ffff::", "2001:db8::1", "2001:db8:ffff::1", "2002::1", "2002:808:808::1"],
    *["3fff::1", "3fff:fff:ffff::1", "4000::", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"],
    *["fe80::1%eth0", "::1%lo", "2606:4700::1111%eth0", "8.8.8.8%eth0", "", "name.example", "2130706433"],
    *["0177.0.0.1", "8.8.8.8 "],
]
IS_PUBLIC = [
    *["1.1.1.1", "8.8.8.8", PUBLIC, "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"],
    *["126.255.255.255", "128.0.0.0"],
    *["169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0"],
    *["198.17.255.255", "198.20.0.0", "223.255.255.255", "2000::1", "2001:200::1", "2001:db7::1", "2001:db9::1", "2003::1"],
    *["2606:4700::1111", "2a00:1450::1", "3ffe::1"],
]


def by_name(host: str, port: int, **options: Any) -> list[Any]:
    """Resolve as the system does, but a name as 127.0.0.1, since its first address may be ::1, where nobody listens."""
    return told("127.0.0.1")(host, port) if "localhost" in host.lower() else list(socket.getaddrinfo(host, port, **options))


def send(url: str, *, loopback: bool = True, **options: Any) -> int:
    """Post a small body."""
    return post(url, b'{"id": 1}', {"Content-Type": "application/json"}, **{"loopback": loopback, "timeout": 20, **options})


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections would have gone; none is made."""
    found: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> None:
        """Note an address and refuse the connection."""
        assert 0 < timeout <= 20
        found.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of its own signing, for three names, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,DNS:hooks.example,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    options = ["-subj", "/CN=test", "-addext", names, "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return paths


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """A receiver's side of TLS, that keeps which name it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str, connections: list[Any]) -> None:
    """A special-purpose address is not public, nor is what is no address; a name that resolves to it is refused."""
    assert not is_public(address)
    with pytest.raises(Refused, match="not on the public internet"):
        send("https://name.example/", loopback=False, resolve=told(address))
    assert connections == []


@pytest.mark.parametrize("address", IS_PUBLIC)
def test_addresses_that_are_public(address: str, connections: list[Any]) -> None:
    """An address beside the special ranges is public, by Python's account as well, and is connected to."""
    assert is_public(address)
    assert ipaddress.ip_address(address).is_global
    host = f"[{address}]" if ":" in address else address
    check_url(f"https://{host}/", loopback=False)
    with pytest.raises(ConnectionRefusedError):
        send("https://name.example/", loopback=False, resolve=told(address))
    assert connections == [(address, 443)]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", [*LOOPBACK_FORMS, *NEVER])
def test_this_machine_is_not_reached(host: str, scheme: str) -> None:
    """However this machine's own address is written, and whatever the scheme, nothing arrives."""
    with listening() as receiver:
        with pytest.raises(Refused):
            send(f"{scheme}://{host}:{receiver.port}/", loopback=False, resolve=by_name)
        assert receiver.untouched()


@pytest.mark.parametrize("host", LOOPBACK_FORMS)
def test_this_machine_is_reached_where_that_is_allowed(host: str) -> None:
    """The control: with loopback, the same addresses are connected to, and the request arrives."""
    with answering(OK) as receiver:
        check_url(f"http://{host}:{receiver.port}/", loopback=True)
        assert send(f"http://{host}:{receiver.port}/", resolve=by_name) == 200
        assert len(receiver.requests) == 1
    with listening() as receiver:
        # Nobody speaks TLS there, but the connection is made.
        with pytest.raises(OSError, match=r"in time|within"):
            send(f"https://{host}:{receiver.port}/", timeout=0.2, resolve=by_name)
        assert not receiver.untouched()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", [*NEVER, "10.0.0.1", "169.254.169.254", "[fd00::1]", "[fe80::1]"])
def test_loopback_allows_nothing_else(host: str, scheme: str) -> None:
    """With loopback, an address that is mapped, translated, unspecified or private is refused as before."""
    with listening() as receiver:
        for check in (send, lambda url: check_url(url, loopback=True)):
            with pytest.raises(Refused):
                check(f"{scheme}://{host}:{receiver.port}/")
        assert receiver.untouched()


def test_ipv6_loopback(connections: list[Any]) -> None:
    """With loopback, ::1 is connected to, and without it refused at once."""
    with pytest.raises(ConnectionRefusedError):
        send("http://[::1]:8000/")
    assert connections == [("::1", 8000)]
    with pytest.raises(Refused):
        check_url("https://[::1]/", loopback=False)


@pytest.mark.parametrize("host", ["10.0.0.1", "0xA9FEA9FE", "169.254.169.254", "[fd00::1]", "127.0.0.1", "[::ffff:8.8.8.8]"])
def test_a_literal_address_is_checked_at_once(host: str) -> None:
    """An address that is not public is refused without asking for anything, in whatever form it is written."""
    with pytest.raises(Refused, match="not on the public internet"):
        check_url(f"https://{host}/", loopback=False)


def test_a_name_is_resolved_once(connections: list[Any]) -> None:
    """A name that is public when it is checked and this machine's later is connected to where it was checked."""
    asked = []

    def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        """Answer with a public address at first, and with this machine's afterwards."""
        asked.append(host)
        return told(PUBLIC if len(asked) == 1 else "127.0.0.1")(host, port)

    with pytest.raises(ConnectionRefusedError):
        send("https://rebinding.example/", loopback=False, resolve=rebinding)
    assert asked == ["rebinding.example"]
    assert connections == [(PUBLIC, 443)]
    # The control: the second answer alone is refused.
    with pytest.raises(Refused):
        send("https://rebinding.example/", loopback=False, resolve=rebinding)
    assert connections == [(PUBLIC, 443)]


@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize("addresses", [(PUBLIC, "10.0.0.1"), ("10.0.0.1", PUBLIC), ("2606:4700::1", "fd00::1"), ("::1", "::")])
def test_every_address_of_a_name_counts(addresses: tuple[str, str], connections: list[Any], *, loopback: bool) -> None:
    """A name with one address that is not allowed is refused, wherever that one stands."""
    with pytest.raises(Refused):
        send("https://mixed.example/", loopback=loopback, resolve=told(*addresses))
    assert connections == []


def test_plain_http_is_for_loopback(connections: list[Any]) -> None:
    """Http is refused without loopback, and with it for every other host, by name and by what a name resolves to."""
    for url, loopback in [
        ("http://name.example/", False),
        ("http://name.example/", True),
        (f"http://{PUBLIC}/", False),
        (f"http://{PUBLIC}/", True),
        ("http://localhost/", False),
        ("http://localhost.name.example/", True),
    ]:
        with pytest.raises(Refused, match="begins with https"):
            check_url(url, loopback=loopback)
    for addresses in ((PUBLIC,), ("127.0.0.1", PUBLIC)):
        with pytest.raises(Refused, match="begins with https"):
            send("http://localhost/", resolve=told(*addresses))
    assert connections == []


@pytest.mark.parametrize(
    "url",
    [
        *["", "/", "https:", "https://", "https:///path", "https:/name.example/", "//name.example/", "name.example/"],
        *["https://name.example", "https://name.example?query", "https://name.example:443"],
        *["ftp://name.example/", "file:///etc/passwd", "gopher://name.example/", "httpsx://name.example/"],
        *["https://user@name.example/", "https://user:word@name.example/", "https://@name.example/"],
        *["https://name.example/#part", "https://name.example/#", "https://name.example#@other.example/"],
        *["https://name.example:0/", "https://name.example:65536/", "https://name.example:/", "https://name.example:-1/"],
        *["https://name.example:80:80/", "https://name.example:8 0/", "https://name.example:٣/", "https://name.example:0x50/"],
        *["https://name.example /", " https://name.example/", "https://name.example/ ", "https://name.example/a b"],
        *["https://name.example/\r\nHost: other", "https://name.example/\n", "https://name\t.example/"],
        *["https://name.example/\0"],
        *["https://name.example/?a=b HTTP/1.1\r\nX: y", "https://name.example\r\n/", "https://name.example/\x7f"],
        *["https://bücher.example/", "https://name.example/ü", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "https://127。0。0。1/"],
        *["http\u017f://name.example/"],
        *["https://name.example\\@127.0.0.1/", "https://name.example\\/", "https://%31%32%37.0.0.1/", "https://a..b/"],
        *["https://a../"],
        *["https://.example/", "https://a,b/", f"https://{'a' * 64}.example/", "https://[::1/", "https://::1/", "https://[]/"],
        *["https://[fe80::1%eth0]/", "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://[1:2]/", "https://[v1.a]/"],
        "https://name.example/" + "a" * 1980,
    ],
)
def test_what_is_no_receiver(url: str, connections: list[Any]) -> None:
    """What is not https://host:port/path in 2,000 printable characters is refused, with a sentence, unresolved."""
    for loopback in (False, True):
        with pytest.raises(Refused) as refusal:
            check_url(url, loopback=loopback)
        assert str(refusal.value).endswith(".")
        assert ("printable" in str(refusal.value)) == (not url.isascii() or not url.isprintable() or " " in url)
        with pytest.raises(Refused):
            send(url, loopback=loopback, resolve=lambda *_, **__: pytest.fail("resolved"))
    assert connections == []


@pytest.mark.parametrize(
    "url",
    [
        *["https://name.example/", "HTTPS://Name.Example/", "https://name.example./a", "https://name.example:8443/a?b=c&d=%20"],
        *["https://xn--bcher-kva.example/", "https://a_b.example/", "https://name/", "https://name.example:65535//a//?b?@\\~!"],
        *[f"https://{PUBLIC}/", "https://[2606:4700::1111]:8443/", "https://[2606:4700::1.2.3.4]/", "https://0x5db8d822/"],
        "https://name.example/" + "a" * 1979,
    ],
)
def test_what_can_be_a_receiver(url: str) -> None:
    """The control: an address of the form is taken, at its greatest length and with any printable path."""
    check_url(url, loopback=False)


def test_a_name_without_addresses(connections: list[Any]) -> None:
    """A name that is not known, or has no address, is an `OSError`."""

    def unknown(*_: Any, **__: Any) -> list[Any]:
        """Know no name."""
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolve in (unknown, told()):
        with pytest.raises(OSError, match=r"not known|no address"):
            send("https://name.example/", resolve=resolve)
    assert connections == []


def test_what_is_sent() -> None:
    """The path, the query, the headers and the body arrive as given, and the host under the name that it was given."""
    with answering(OK) as receiver:
        path = "//a/../b;c?d=%20+&e=[f]\\"
        assert send(f"http://Receiver.LocalHost:{receiver.port}{path}", resolve=told("127.0.0.1")) == 200
        head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == f"POST {path} HTTP/1.1"
        assert sorted(lines[1:]) == [
            "Accept-Encoding: identity",
            "Content-Length: 9",
            "Content-Type: application/json",
            f"Host: Receiver.LocalHost:{receiver.port}",
        ]
        assert body == b'{"id": 1}'


@pytest.mark.parametrize("status", [200, 204, 400, 410, 500])
def test_the_status_is_returned(status: int) -> None:
    """Whatever a receiver answers is returned, and no error."""
    with answering(f"HTTP/1.1 {status} \r\nContent-Length: 0\r\n\r\n".encode()) as receiver:
        assert send(f"http://127.0.0.1:{receiver.port}/") == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """A redirect is an answer like others, and where it leads sees nothing."""
    with listening() as target:
        answer = f"HTTP/1.1 {status} Elsewhere\r\nLocation: http://127.0.0.1:{target.port}/\r\nContent-Length: 0\r\n\r\n"
        with answering(answer.encode()) as receiver:
            assert send(f"http://127.0.0.1:{receiver.port}/") == status
        assert target.untouched()


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment sees nothing."""
    with listening() as proxy, answering(OK) as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert send(f"http://127.0.0.1:{receiver.port}/") == 200
        assert proxy.untouched()


@pytest.mark.parametrize(
    ("scheme", "speaks_tls", "at_once", "dripped"),
    [
        ("http", False, b"", b""),
        ("http", False, b"", b"HTTP/1.1 200 " + b"a" * 60000),
        ("http", False, b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60000),
        ("http", False, b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
        ("https", False, b"", b""),
        ("https", False, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x03" * 16000),
        ("https", True, b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60000),
    ],
    ids=["silence", "status line", "headers", "continue", "silence to TLS", "TLS itself", "headers over TLS"],
)
def test_a_slow_receiver_is_given_up(  # noqa: PLR0913 - a case, and what it takes
    scheme: str,
    at_once: bytes,
    dripped: bytes,
    *,
    tls: ssl.SSLContext,
    certificate: Any,
    monkeypatch: pytest.MonkeyPatch,
    speaks_tls: bool,
) -> None:
    """A receiver that says nothing, or a byte now and then, holds no one longer than the timeout."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    given_up = threading.Event()

    def drip(connection: socket.socket) -> None:
        """Send a byte at a time until the other side has gone."""
        connection.sendall(at_once)
        for number in range(len(dripped)):
            if given_up.wait(0.02):
                return
            connection.sendall(dripped[number : number + 1])
        given_up.wait(30)

    with answering(drip, tls if speaks_tls else None) as receiver:
        began = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                send(f"{scheme}://127.0.0.1:{receiver.port}/", timeout=0.5)
            assert 0.5 <= time.monotonic() - began < 5
        finally:
            given_up.set()


def test_a_receiver_that_is_slow_but_in_time() -> None:
    """The control: an answer that drips and ends in time is taken, and nothing is left to end the connection later."""
    pause = threading.Event()

    def drip(connection: socket.socket) -> None:
        """Take the request, and send the answer a byte at a time."""
        receiver.read(connection)
        for number in range(len(OK)):
            pause.wait(0.005)
            connection.sendall(OK[number : number + 1])

    with answering(drip) as receiver:
        assert send(f"http://127.0.0.1:{receiver.port}/") == 200
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())


def test_a_receiver_that_takes_nothing() -> None:
    """A body that is not taken off the wire holds no one longer than the timeout."""
    done = threading.Event()

    def wait(_: socket.socket) -> None:
        """Leave what comes where it is."""
        done.wait(30)

    with answering(wait) as receiver:
        began = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                post(f"http://127.0.0.1:{receiver.port}/", b"a" * 30_000_000, {}, loopback=True, timeout=0.5)
            assert time.monotonic() - began < 5
        finally:
            done.set()


def test_a_slow_resolver_is_given_up(connections: list[Any]) -> None:
    """A name whose addresses are not told in time holds no one longer than the timeout."""
    done = threading.Event()

    def slow(*_: Any, **__: Any) -> list[Any]:
        """Wait for the end of the test."""
        done.wait(30)
        return []

    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError, match="in time"):
            send("https://name.example/", timeout=0.5, resolve=slow)
        assert time.monotonic() - began < 5
    finally:
        done.set()
    assert connections == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HT",
        b"HTTP/1.1 \r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\0" * 70000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
    ],
    ids=["nothing", "half", "no status", "version", "mail", "noise", "too many headers"],
)
def test_what_is_no_answer(answer: bytes) -> None:
    """A receiver that closes, or that says what is not HTTP, has failed, which is an `OSError`."""
    with answering(answer) as receiver, pytest.raises(Failed, match="did not answer"):
        send(f"http://127.0.0.1:{receiver.port}/")


def test_a_receiver_that_closes_at_once() -> None:
    """A connection that is taken and closed unread is an `OSError`, and so is one that is not taken."""
    with answering(lambda _: None) as receiver, pytest.raises(OSError, match=r".") as failure:
        send(f"http://127.0.0.1:{receiver.port}/")
    assert not isinstance(failure.value, TimeoutError)
    with pytest.raises(ConnectionRefusedError):
        send(f"http://127.0.0.1:{receiver.port}/")


@pytest.mark.parametrize("header", [b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked", b"Connection: close"])
def test_the_answers_body_is_not_read(header: bytes) -> None:
    """A receiver whose body has no end holds no one up, and finds the connection closed."""
    closed = threading.Event()

    def endless(connection: socket.socket) -> None:
        """Send a body until nobody takes it."""
        try:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\n" + header + b"\r\n\r\n")
            while True:
                connection.sendall(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
        except ConnectionError:
            closed.set()

    with answering(endless) as receiver:
        began = time.monotonic()
        assert send(f"http://127.0.0.1:{receiver.port}/") == 202
        assert time.monotonic() - began < 10
        assert closed.wait(30)


@pytest.mark.parametrize(
    ("host", "asked"),
    [("localhost", "localhost"), ("localhost.", "localhost"), ("hooks.example", "hooks.example"), ("127.0.0.1", None)],
)
def test_https(host: str, asked: str | None, tls: ssl.SSLContext, certificate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS the request arrives, where the certificate is trusted and of the host's name, which is asked for."""
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with answering(OK, tls) as receiver:
        assert send(f"https://{host}:{receiver.port}/a?b", resolve=told("127.0.0.1")) == 200
        assert names == [asked]
        assert receiver.requests[0].startswith(b"POST /a?b HTTP/1.1\r\n")
        assert f"\r\nHost: {host}:{receiver.port}\r\n".encode() in receiver.requests[0]


@pytest.mark.parametrize(("host", "trusted"), [("other.example", True), ("127.1", True), ("localhost", False)])
def test_the_certificate_is_verified(
    host: str, tls: ssl.SSLContext, certificate: Any, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """Where the certificate is of another name, or no one vouches for it, nothing is sent."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with answering(OK, tls) as receiver:
        with pytest.raises(ssl.SSLCertVerificationError):
            send(f"https://{host}:{receiver.port}/", resolve=told("127.0.0.1"))
        assert receiver.requests == []


def test_the_name_is_kept_with_the_checked_address(
    tls: ssl.SSLContext, certificate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is connected to is the public address that was checked; the certificate and `Host` are of the name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    connect = socket.create_connection
    went: list[tuple[str, int]] = []
    with answering(OK, tls) as receiver:

        def reroute(address: tuple[str, int], timeout: float) -> socket.socket:
            """Note an address and connect to the receiver instead."""
            went.append(address)
            return connect(("127.0.0.1", receiver.port), timeout)

        with monkeypatch.context() as patched:
            patched.setattr(socket, "create_connection", reroute)
            assert send("https://hooks.example/", loopback=False, resolve=told(PUBLIC, "1.1.1.1")) == 200
        assert went == [(PUBLIC, 443)]
        assert b"\r\nHost: hooks.example\r\n" in receiver.requests[0]
