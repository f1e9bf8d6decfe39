"""How a message is sent: one request, within its time, with the certificate verified."""

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from api.webhooks.outbound import Failed, post
from tests.support.receivers import OK, PUBLIC, answering, listening, send, told


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
