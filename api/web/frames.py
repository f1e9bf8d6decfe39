"""The frame of all pages: their head, navigation and footer, and the headers of the answers that are pages."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from flask import Response, redirect, request

from api.html import templates
from api.html.addresses import Address
from api.query.parameters import OF_PAGES
from api.resources import RESOURCES
from api.schema.choices import label_of
from api.schema.formats import FORMATS
from api.web import suffixes
from api.web.negotiation import ATOM, HTML, preferred_types
from api.web.responses import MAX_LINK, conditional, tagged
from api.web.urls import base_url, root

# Pages load nothing from other hosts, and run nothing; scripts of a browser's own may read what is here.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
SEE_OTHER = 303


def tag_parts(media_type: str) -> tuple[str, ...]:
    """Return the parts of an entity tag that tell a page from JSON, and from a page of other templates."""
    if media_type not in {HTML, ATOM}:
        return ()
    return media_type.split("/")[1].split("+", maxsplit=1)[0], templates.fingerprint()


def dataset(name: str, description: str, alternates: Sequence[Mapping[str, str]], canonical: str) -> Mapping[str, Any]:
    """Return the description of a list for search engines of data sets (schema.org `Dataset`)."""
    return {
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": name,
        "description": description.replace("`", ""),
        "url": canonical,
        "isAccessibleForFree": True,
        "distribution": [
            {"@type": "DataDownload", "encodingFormat": form["media_type"], "contentUrl": form["address"]}
            for form in alternates
        ],
    }


def wants_page() -> bool:
    """Tell whether the client prefers a page to data, as browsers do."""
    return preferred_types(request.headers.get("Accept", ""))[:1] == (HTML,)


def unchanged(etag: str, media_type: str) -> Response | None:
    """Return a 304 if the client has the answer, with the policy of a page. Raises a 412, as `conditional` does."""
    response = conditional(etag)
    if response and media_type == HTML:
        response.headers["Content-Security-Policy"] = POLICY
        response.vary.add("Accept")
    return response


def guarded(text: str) -> Response:
    """Return a text as a page that loads nothing from other hosts."""
    response = Response(text, content_type=f"{HTML}; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.vary.add("Accept")
    return response


def stable(response: Response) -> Response:
    """Return an answer that only a new release changes, with a tag of its content, or a 304."""
    etag = hashlib.sha256(response.get_data()).hexdigest()[:16]
    return unchanged(etag, response.mimetype or "") or tagged(response, etag)


def here() -> Address:
    """Return the address of the request, as links on its page have it: with its suffix, so that they lead to pages."""
    path = suffixes.kept(request.environ, request.path)
    return Address(root() + quoted(path), [*request.args.items(multi=True)])


def quoted(path: str) -> str:
    """Return a path as a URL has it: a client may send any character in it."""
    return quote(path, safe="/:@!$&'()*+,;=~")


def tidy(written: Callable[[str, str], str] = lambda _, value: value) -> Response | None:
    """Return a redirect to the address without empty parameters, which forms send; None if it has none.

    ``written`` returns the value of a parameter as programs write it, from its name and the value that a form sends.
    """
    address = here()
    kept = [(name, written(name, value)) for name, value in address.arguments if value]
    if kept == [*address.arguments]:
        return None
    return redirect(base_url() + str(Address(address.path.removeprefix(root()), kept)), SEE_OTHER)  # type: ignore[return-value]


def page(
    template: str, *, alternates: Sequence[str] = (), described: tuple[str, str] | None = None, **context: Any
) -> Response:
    """Return a page; ``alternates`` are the suffixes under which its address has the same data.

    ``described`` is the name and the description of that data for search engines.
    """
    address = Address(quoted(request.path), [*request.args.items(multi=True)])
    canonical = base_url() + str(address.without("cursor", "limit"))
    bare = "/index" if address.path == "/" else address.path
    forms = [
        {
            "name": name.upper() if name in {*FORMATS, "atom"} else f"a table of its {name.split('.')[0]} (CSV)",
            "media_type": ATOM if name == "atom" else FORMATS[name.split(".")[-1]].media_type,
            "address": base_url() + str(Address(f"{bare}.{name}", _of(name, address))),
        }
        for name in alternates
    ]
    frame: dict[str, Any] = {
        "root": root(),
        "nouns": [(noun.name, label_of(noun.name)) for noun in RESOURCES],
        "canonical": canonical,
        "alternates": forms,
        "here": str(here()),
        **dict.fromkeys(("q", "prev", "next"), ""),
    }
    if described:
        frame["dataset"] = dataset(*described, forms, canonical)
    response = guarded(templates.render(template, **frame | context))
    links = [
        f'<{canonical}>; rel="canonical"',
        *(f'<{row["address"]}>; rel="alternate"; type="{row["media_type"]}"' for row in forms),
    ]
    # Not every proxy passes a longer header; the head of the page has the same links.
    if len(header := ", ".join(links)) <= MAX_LINK:
        response.headers["Link"] = header
    response.vary.add("Accept")
    return response


def _of(suffix: str, address: Address) -> Sequence[tuple[str, str]]:
    """Return the parameters of an address that another form of it takes: a file is a whole list."""
    if suffix in {"json", "atom"}:
        return address.arguments
    return address.without("limit", *OF_PAGES, *(["fields"] if "." in suffix else [])).arguments
