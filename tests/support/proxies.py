"""The proxies of `deploy/`, each started with its very file: only ports, the certificate's place and the servers are replaced."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from string import Template

import pytest

from api.settings import ROOT
from tests.support.processes import listening, unused_port
from tests.support.unproved import unproved

DEPLOY = ROOT / "deploy"
# The host that the files name.
HOST = "api.example.org"
# Where the files look for the server.
SERVER = "127.0.0.1:8000"


@dataclass(frozen=True)
class Program:
    """A proxy: its file, the replacements there, the command that starts it, and what is written before and behind the file.

    In all of them, `$port` is the port for TLS, `$plain` the other one, and `$folder` has the certificate.
    """

    file: str
    replaced: Sequence[tuple[str, str]]
    command: Sequence[str]
    around: tuple[str, str] = ("", "")


PROGRAMS = {
    "nginx": Program(
        "nginx.conf",
        (
            ("listen 80;", "listen 127.0.0.1:$plain;"),
            ("listen 443 ssl;", "listen 127.0.0.1:$port ssl;"),
            ("/etc/ssl/api.example.org.", "$folder/"),
        ),
        ("nginx", "-p", "$folder", "-e", "stderr", "-c", "$folder/nginx.conf", "-g", "daemon off; pid $folder/pid;"),
        around=("user root;\nevents {}\nhttp { access_log off; client_body_temp_path $folder/body;", "}"),
    ),
    "caddy": Program(
        "Caddyfile",
        (
            ("\napi.example.org {", "\nhttps://api.example.org:$port {"),
            ("# tls /etc/ssl/api.example.org.pem /etc/ssl/api.example.org.key", "tls $folder/pem $folder/key"),
        ),
        ("env", "HOME=$folder", "caddy", "run", "--adapter", "caddyfile", "--config", "$folder/Caddyfile"),
        around=("{\n\tadmin off\n\tauto_https off\n}", ""),
    ),
    "haproxy": Program(
        "haproxy.cfg",
        (
            ("bind :80\n", "bind 127.0.0.1:$plain\n"),
            ("bind :443 ssl crt /etc/ssl/api.example.org.pem", "bind 127.0.0.1:$port ssl crt $folder/both"),
        ),
        ("haproxy", "-db", "-f", "$folder/haproxy.cfg"),
    ),
}
# One case for each proxy; one that is missing is listed at the end of the run.
CASES = [
    pytest.param(
        name,
        id=name,
        marks=[] if shutil.which(name) and shutil.which("openssl") else [unproved(f"{name} or openssl is missing")],
    )
    for name in PROGRAMS
]


@contextmanager
def started(name: str, folder: Path, *servers: int) -> Iterator["Proxy"]:
    """Start a proxy in front of a server's port, or of one port for each place where its file names a server."""
    program = PROGRAMS[name]
    port = unused_port()
    values = {"port": port, "plain": unused_port(), "folder": folder}

    def filled(text: str) -> str:
        return Template(text).safe_substitute(values)

    text = "\n".join((program.around[0], (DEPLOY / program.file).read_text(encoding="utf-8"), program.around[1]))
    for old, new in program.replaced:
        assert old in text
        text = text.replace(old, new)
    for server in servers:
        assert SERVER in text
        text = text.replace(SERVER, f"127.0.0.1:{server}", -1 if len(servers) == 1 else 1)
    certify(folder)
    (folder / program.file).write_text(filled(text), encoding="utf-8")
    with listening(list(map(filled, program.command)), "127.0.0.1", port):
        yield Proxy(port, folder / "pem")


def certify(folder: Path) -> None:
    """Make a key and a certificate for the host, which is its own authority."""
    words = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={HOST}"
    names = ["-addext", f"subjectAltName=DNS:{HOST}", "-keyout", f"{folder}/key", "-out", f"{folder}/pem"]
    subprocess.run([*words.split(), *names], check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "pem").read_bytes() + (folder / "key").read_bytes())


class Secured(HTTPConnection):
    """A connection by TLS to the public host, from an address of this machine."""

    def __init__(self, proxy: "Proxy", source: str) -> None:
        """Keep what the connection needs."""
        super().__init__(HOST, timeout=60)
        self.proxy, self.source = proxy, source

    def connect(self) -> None:
        """Connect to the proxy's port here, and check the certificate of the host."""
        plain = socket.create_connection(("127.0.0.1", self.proxy.port), self.timeout, (self.source, 0))
        self.sock = ssl.create_default_context(cafile=self.proxy.certificate).wrap_socket(plain, server_hostname=HOST)


@dataclass(frozen=True)
class Answer:
    """An answer."""

    status: int
    headers: HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs."""

    port: int
    certificate: Path

    def ask(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes = b"",
        source: str = "127.0.0.1",
    ) -> Answer:
        """Return the answer to a request, sent on a connection of its own from an address of this machine."""
        connection = Secured(self, source)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
