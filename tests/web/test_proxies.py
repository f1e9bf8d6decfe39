"""Only trusted proxies determine the client's address."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from api.settings import Settings, SettingsError
from api.web.places import Places, client_of
from api.web.proxies import Proxies, networks
from tests.support.applications import serving
from tests.support.databases import ON_SQLITE

TRUSTED = "10.0.0.0/8,2001:db8::5"
# Headers of a request from a peer, and the client, scheme and host that follow from them.
CASES: dict[str, tuple[str, dict[str, str], tuple[str, str, str]]] = {
    "none": ("10.0.0.1", {}, ("10.0.0.1", "http", "inner")),
    "for": ("10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9"}, ("192.0.2.9", "http", "inner")),
    "made up": ("10.0.0.1", {"X_FORWARDED_FOR": "198.51.100.1, 192.0.2.9"}, ("192.0.2.9", "http", "inner")),
    "two proxies": ("10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9, 10.0.0.2"}, ("192.0.2.9", "http", "inner")),
    "only proxies": ("10.0.0.1", {"X_FORWARDED_FOR": "10.0.0.3, 10.0.0.2"}, ("10.0.0.3", "http", "inner")),
    "port": ("10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9:4711"}, ("192.0.2.9", "http", "inner")),
    "proto": (
        "10.0.0.1",
        {"X_FORWARDED_FOR": "192.0.2.9", "X_FORWARDED_PROTO": "https", "X_FORWARDED_HOST": "api.example.org"},
        ("192.0.2.9", "https", "api.example.org"),
    ),
    "odd proto": ("10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9", "X_FORWARDED_PROTO": "gopher"}, ("192.0.2.9", "http", "inner")),
    "forwarded": (
        "2001:db8::5",
        {"FORWARDED": 'for="[2001:db8:1::9]:4711";proto=https;host=api.example.org, for=10.1.2.3'},
        ("2001:db8:1::9", "https", "api.example.org"),
    ),
    "both agree": ("10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9", "FORWARDED": "for=192.0.2.9"}, ("192.0.2.9", "http", "inner")),
    "both differ": ("10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9", "FORWARDED": "for=192.0.2.8"}, ("10.0.0.1", "http", "inner")),
    "mapped": ("::ffff:10.0.0.1", {"X_FORWARDED_FOR": "192.0.2.9"}, ("192.0.2.9", "http", "inner")),
    "untrusted": (
        "192.0.2.1",
        {"X_FORWARDED_FOR": "192.0.2.9", "X_FORWARDED_PROTO": "https", "FORWARDED": "for=192.0.2.9;host=evil"},
        ("192.0.2.1", "http", "inner"),
    ),
}


@pytest.mark.parametrize(("peer", "headers", "expected"), CASES.values(), ids=CASES)
def test_client(peer: str, headers: dict[str, str], expected: tuple[str, str, str]) -> None:
    """The client is the last address that is not a trusted proxy, and it used the scheme and host that its proxy names."""
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "inner"}
    environ |= {f"HTTP_{name}": value for name, value in headers.items()}
    Proxies(networks(TRUSTED)).read(environ)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == expected


def test_hint(caplog: pytest.LogCaptureFixture) -> None:
    """The first `X-Forwarded-For` from an address that is not trusted is a line in the log, and no other is."""
    proxies = Proxies([])
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            proxies.read(
                {"REMOTE_ADDR": f"192.0.2.{number}", "HTTP_X_FORWARDED_FOR": "198.51.100.1", "wsgi.url_scheme": "http"}
            )
    assert ["set TRUSTED_PROXIES" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("trusted", ["", "127.0.0.1"])
def test_links(settings: Settings, trusted: str) -> None:
    """Links name the scheme and host by which the client reached a trusted proxy, and the server's own otherwise."""
    headers = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.org"}
    with serving(replace(settings, trusted_proxies=trusted)) as app:
        link = app.test_client().get("/cities?limit=1", headers=headers).get_json()["links"]["self"]
    assert link == f"{'https://api.example.org' if trusted else 'http://localhost'}/cities?limit=1"


@ON_SQLITE
def test_links_have_the_host_as_it_was_sent(settings: Settings) -> None:
    """An international name stays in ASCII, as a URL and the header `Link` need it."""
    with serving(settings) as app:
        response = app.test_client().get("/cities?limit=1", headers={"Host": "xn--bcher-kva.example:8080"})
    assert response.get_json()["links"]["self"] == "http://xn--bcher-kva.example:8080/cities?limit=1"
    assert response.headers["Link"].isascii()


def test_settings_name_networks() -> None:
    """An entry that is no address and no network is refused, with a working example."""
    with pytest.raises(
        SettingsError, match=r"TRUSTED_PROXIES names 'proxy', which is not an address or network such as 10\.0\.0\.0/8"
    ):
        Settings(trusted_proxies="10.0.0.1, proxy")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_client(address: str, client: str) -> None:
    """An address of IPv4 is one client, and so is a /64 network of IPv6."""
    assert client_of(address) == client


def test_places() -> None:
    """One client gets half of the places, all clients together all of them, and a returned place is free again."""
    places = Places(4)
    assert [places.take("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [places.take(f"192.0.2.{number}") for number in (2, 3, 4)] == [True, True, False]
    places.release("192.0.2.1")
    assert (places.take("192.0.2.2"), places.take("192.0.2.1")) == (True, False)
    assert not Places(0).take("192.0.2.1")
