"""Keep a complete, verified copy of a Digital Cities API. One file; needs only the standard library.

    mirror("https://api.example.org", SQLiteStore("copy.sqlite3"))
    mirror("https://api.example.org", SQLiteStore("boston.sqlite3"), city="boston-ma")

`mirror` resumes where it stopped, verifies the copy, repairs what differs, and starts over when the server lost commits.
"""

import gzip
import hashlib
import http.client
import itertools
import json
import sqlite3
import time
import urllib.parse
import urllib.request


class SQLiteStore:
    """A copy in a SQLite file. Any object with the next four methods can replace it, if its ``save`` is atomic."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        # Damaged text must be readable, so that it is found and repaired, and deleted text must be gone from the file.
        self.db.text_factory = lambda raw: raw.decode(errors="replace")
        self.db.executescript("""create table if not exists record (kind text, id text, document text, primary key (kind, id));
            create table if not exists position (one integer primary key, cursor text); pragma secure_delete = on;
            create table if not exists redirect (kind text, id text, merged_into text, primary key (kind, id))""")

    def cursor(self):
        """Return the last saved cursor, or None."""
        return next((row[0] for row in self.db.execute("select cursor from position")), None)

    def save(self, cursor, changes, clear=()):
        """Save changes (kind, id, document or None) with a cursor; first delete each (kind, prefix of keys) in ``clear``."""
        with self.db:
            self.db.execute("begin immediate")
            if clear is None:  # All.
                self.db.execute("delete from record")
                self.db.execute("delete from redirect")
            for kind in {kind for kind, _ in clear or ()}:
                prefixes = tuple(prefix for noun, prefix in clear if noun == kind)
                gone = [(kind, id) for id, _ in self.records(kind) if key(kind, id).startswith(prefixes)]
                self.db.executemany("delete from record where kind = ? and id = ?", gone)
            for kind, id, document in changes:
                self.db.execute("delete from record where kind = ? and id = ?", (kind, id))
                if document is not None:
                    self.db.execute("insert into record values (?, ?, ?)", (kind, id, canonical(document)))
            self.db.execute("insert or replace into position values (1, ?)", (cursor,))

    def kinds(self):
        """Return the nouns that have records."""
        return [row[0] for row in self.db.execute("select distinct kind from record")]

    def records(self, kind):
        """Return (id, canonical document) of each record of a noun, ordered by id."""
        return self.db.execute("select id, document from record where kind = ? order by id", (kind,))

    def redirect(self, rows):
        """Keep where records went: (kind, id, id of the record into which it was merged, or None). A store can do without."""
        with self.db:
            self.db.execute("begin immediate")
            for kind, id, into in rows:
                self.db.execute("delete from redirect where kind = ? and id = ?", (kind, id))
                if into is not None:
                    self.db.execute("insert into redirect values (?, ?, ?)", (kind, id, into))

    def find(self, kind, id):
        """Return the document of a record, or of the one into which it was merged since the copy began; None without one."""
        passed = set()
        while id not in passed:
            passed.add(id)
            for (document,) in self.db.execute("select document from record where kind = ? and id = ?", (kind, id)):
                return json.loads(document)
            for (into,) in self.db.execute("select merged_into from redirect where kind = ? and id = ?", (kind, id)):
                id = into
        return None


def canonical(value):
    """Return canonical JSON (RFC 8785): numbers as in ECMAScript, members ordered by their names in UTF-16."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return (f"{value:.6f}".rstrip("0") if abs(value) < 1 else repr(value).removesuffix("0")).rstrip(".")
    return json.dumps(value, ensure_ascii=False)


def sha256(label, *parts):
    """Return the SHA-256 of a label of the digest, followed by texts and hashes."""
    data = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(f"digital-cities/{label}/1\n".encode() + data).digest()


def key(kind, id):
    """Return the key of a record, whose digits lead to it."""
    return sha256("key", f"{kind}\n{id}").hex()


def leaves(kind, records):
    """Return the keys and leaves of a noun's records, in their order; ``records`` come from a store."""
    return sorted((key(kind, id), sha256("leaf", f"{kind}\n{id}\n{document}")) for id, document in records)


def children(rows, depth):
    """Return the keys and leaves below each child of a node, by digit."""
    below = {digit: [*some] for digit, some in itertools.groupby(rows, lambda row: row[0][depth])}
    return {digit: below.get(digit, []) for digit in "0123456789abcdef"}


def node(rows, depth=0):
    """Return the hash of a node, the top by default, given the keys and leaves below it."""
    if len(rows) <= 32:
        return sha256("bucket", *(leaf for _, leaf in rows))
    return sha256("node", *(node(below, depth + 1) for below in children(rows, depth).values()))


def root(store):
    """Return the root of a copy. It equals the server's root at the same version if the copy is complete."""
    nouns = [sha256("noun", f"{kind}\n", node(leaves(kind, store.records(kind)))) for kind in sorted(store.kinds())]
    return sha256("root", *nouns).hex()


def ask(url):
    """Yield each line of the server's answer, decoded from JSON as it arrives."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": "gzip"}), timeout=90) as answer:
        lines = gzip.GzipFile(fileobj=answer) if answer.headers["Content-Encoding"] == "gzip" else answer
        yield json.loads(lines.readline())
        yield from map(json.loads, lines)


def differences(url, kind, rows, version, prefix=""):
    """Yield the prefix and the server's records of each bucket below a node that differs."""
    [theirs] = ask(f"{url}/digest/{kind}?at={version}" + (f"&prefix={prefix}" if prefix else ""))
    if not theirs["children"]:
        yield prefix, theirs["data"]
        return
    for (digit, below), right in zip(children(rows, len(prefix)).items(), theirs["children"], strict=True):
        if node(below, len(prefix) + 1).hex() != right:
            yield from differences(url, kind, below, version, prefix + digit)


def verify(url, store, version, kinds=""):
    """Compare a copy with the server's digest at its version and repair the buckets that differ. Returns their number."""
    theirs = next(ask(f"{url}/digest?at={version}"))["data"]
    nouns = {kind: noun for kind, noun in theirs["nouns"].items() if not kinds or kind in kinds.split(",")}
    their_root = (
        sha256("root", *(bytes.fromhex(nouns[kind]["root"]) for kind in sorted(nouns))).hex() if kinds else theirs["root"]
    )
    if root(store) == their_root:
        return 0
    wrong = {(kind, ""): [] for kind in store.kinds() if kind not in nouns}
    for kind, noun in nouns.items():
        rows = leaves(kind, store.records(kind))
        if sha256("noun", f"{kind}\n", node(rows)).hex() != noun["root"]:
            for prefix, data in differences(url, kind, rows, version):
                wrong[kind, prefix] = [(kind, row["id"], row["document"]) for row in data]
    store.save(store.cursor(), [row for rows in wrong.values() for row in rows], clear=wrong)
    if root(store) != their_root:
        raise RuntimeError("the copy differs from the server's digest and can't be repaired")
    return len(wrong)


def mirror(url, store, *, follow=False, limit=1000, patience=5, **part):
    """Bring a copy up to date, verify it, and return its version. With ``follow``, continue forever.

    ``kinds``, ``city`` and ``survey`` are the API's, for a copy of a part; nothing can verify one of cities or surveys.
    A failed request is repeated up to ``patience`` times in a row. Raises RuntimeError if the copy can't be repaired.
    """
    wait, failures, proved = 0, 0, None
    while True:
        try:
            if store.cursor() is None:
                first = next(lines := ask(f"{url}/snapshot?{urllib.parse.urlencode(part)}"))
                whole = zip(range(first["count"]), lines, strict=True)
                store.save(first["cursor"], ((row["kind"], row["id"], row["document"]) for _, row in whole), clear=None)
            query = {"cursor": store.cursor(), "limit": limit, "wait": wait, **part}
            [page] = ask(f"{url}/changes?{urllib.parse.urlencode(query)}")
            if hasattr(store, "redirect"):  # If this is saved and the page is not, the page comes again.
                store.redirect((row["kind"], row["id"], row.get("merged_into")) for row in page["data"])
            store.save(page["cursor"], [(row["kind"], row["id"], row["document"]) for row in page["data"]])
            if page["links"]["next"] is None and page["cursor"] != proved and not {"city", "survey"} & part.keys():
                verify(url, store, page["head"], part.get("kinds"))
                proved = page["cursor"]
            if page["links"]["next"] is None and not follow:
                return page["head"]
            failures, wait = 0, 25 * follow
        except (OSError, EOFError, ValueError, http.client.HTTPException) as error:
            # The server may refuse to wait because too many clients do, so ask again without `wait`.
            failures, wait, code = failures + 1, 0, getattr(error, "code", 503)
            is_lost = code == 410 and "/changes?" in error.url  # Where only a proof is gone, a later version has another.
            if code not in {410, 429, 502, 503, 504} or failures > patience + is_lost:
                raise
            if is_lost:
                store.save(None, [])
            pause = getattr(error, "headers", {}).get("Retry-After") or ""
            time.sleep(int(pause) if pause.isdecimal() else not is_lost)
