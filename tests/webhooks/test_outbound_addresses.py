"""Where a message can go: the public internet, and this machine where that is set; nowhere else."""

import ipaddress
import socket
from typing import Any

import pytest

from api.webhooks.outbound import Refused, check_url, is_public
from tests.support.receivers import (
    LOOPBACK,
    LOOPBACK_FORMS,
    NEVER,
    OK,
    PRIVATE,
    PUBLIC,
    answering,
    by_name,
    listening,
    send,
    told,
)

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


@pytest.mark.parametrize(
    "host",
    [
        *["0xA9FEA9FE", "[fd00::1]", "[::ffff:8.8.8.8]"],
        *(host for host in [*LOOPBACK, *PRIVATE] if "localhost" not in host.lower()),
    ],
)
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
