/**
 * Keep a complete, verified copy of a Digital Cities API. One file without dependencies, for Node and browsers.
 *
 *     const store = new MemoryStore();
 *     await mirror("https://api.example.org", store);
 *     await mirror("https://api.example.org", new MemoryStore(), { city: "boston-ma" });
 *
 * `mirror` resumes where it stopped, verifies the copy, repairs what differs, and starts over when the server lost commits.
 */

/** A copy in memory. Any object with the next four methods can replace it, if its `save` is atomic. */
export class MemoryStore {
  records = new Map();
  redirects = new Map();
  position = null;

  /** Return the last saved cursor, or null. */
  async cursor() {
    return this.position;
  }

  /** Save changes [kind, id, document or null] with a cursor; first delete each [kind, prefix of keys] in `clear`. */
  async save(cursor, changes, clear = []) {
    const gone = [];
    for (const [kind, rows] of clear?.length ? this.records : []) {
      const prefixes = [...clear].filter(([noun]) => noun === kind).map(([, prefix]) => prefix);
      for (const id of prefixes.length ? rows.keys() : []) {
        const key = await keyOf(kind, id);
        if (prefixes.some((prefix) => key.startsWith(prefix))) gone.push([kind, id, null]);
      }
    }
    // There is no await below, so no reader sees half of the changes.
    if (clear === null) [this.records, this.redirects] = [new Map(), new Map()];
    for (const [kind, id, document] of [...gone, ...changes]) {
      if (!this.records.has(kind)) this.records.set(kind, new Map());
      if (document === null) this.records.get(kind).delete(id);
      else this.records.get(kind).set(id, document);
    }
    this.position = cursor;
  }

  /** Return the nouns that have records. */
  async kinds() {
    return [...this.records.keys()].filter((kind) => this.records.get(kind).size);
  }

  /** Return [id, document] of each record of a noun, ordered by id. */
  async all(kind) {
    return [...(this.records.get(kind) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Keep where records went: [kind, id, id of the record into which it was merged, or null]. A store can do without. */
  async redirect(rows) {
    for (const [kind, id, into] of rows) {
      if (into === null) this.redirects.delete(`${kind}/${id}`);
      else this.redirects.set(`${kind}/${id}`, into);
    }
  }

  /** Return the document of a record, or of the one into which it was merged since the copy began; null if there is none. */
  async find(kind, id) {
    for (const passed = new Set(); id !== undefined && !passed.has(id); id = this.redirects.get(`${kind}/${id}`)) {
      passed.add(id);
      const document = this.records.get(kind)?.get(id);
      if (document !== undefined) return document;
    }
    return null;
  }
}

/** Return canonical JSON (RFC 8785): JSON.stringify, with members ordered by their names in UTF-16. */
export function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** Return the SHA-256 of a label of the digest, followed by texts and hashes. */
export async function sha256(label, ...parts) {
  const bytes = await new Blob([`digital-cities/${label}/1\n`, ...parts]).arrayBuffer();
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** Return a hash in hexadecimal. */
export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Return the bytes of a hash in hexadecimal. */
const bytesOf = (text) => Uint8Array.from(text.match(/../g), (byte) => parseInt(byte, 16));

/** Return the key of a record, whose digits lead to it. */
export const keyOf = async (kind, id) => hex(await sha256("key", `${kind}\n${id}`));

/** Return the keys and leaves of a noun's records [id, document], in their order. */
export async function leaves(kind, records) {
  const rows = [];
  for (const [id, document] of records) {
    rows.push([await keyOf(kind, id), await sha256("leaf", `${kind}\n${id}\n${canonical(document)}`)]);
  }
  return rows.sort(([a], [b]) => (a < b ? -1 : 1));
}

const children = (rows, depth) => [..."0123456789abcdef"].map((digit) => rows.filter(([key]) => key[depth] === digit));

/** Return the hash of a node, the top by default, given the keys and leaves below it. */
export async function node(rows, depth = 0) {
  if (rows.length <= 32) return sha256("bucket", ...rows.map(([, leaf]) => leaf));
  return sha256("node", ...(await Promise.all(children(rows, depth).map((below) => node(below, depth + 1)))));
}

/** Return the root of a copy. It equals the server's root at the same version if the copy is complete. */
export async function root(store) {
  const nouns = [];
  for (const kind of (await store.kinds()).sort()) {
    nouns.push(await sha256("noun", `${kind}\n`, await node(await leaves(kind, await store.all(kind)))));
  }
  return hex(await sha256("root", ...nouns));
}

/** Return the JSON value of each line of the server's answer. */
async function ask(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw Object.assign(new Error(`${url}: ${answer.status}`), { answer });
  return (await answer.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
}

const rowsOf = (data) => data.map(({ kind, id, document }) => [kind, id, document]);

/** The copy differs from the server's digest and can't be repaired. */
export class DifferenceError extends Error {}

/** Return [prefix, the server's records] of each bucket below a node that differs. */
async function differences(url, kind, rows, version, prefix = "") {
  const [theirs] = await ask(`${url}/digest/${kind}?at=${version}${prefix && `&prefix=${prefix}`}`);
  const found = theirs.children.length ? [] : [[prefix, rowsOf(theirs.data)]];
  const ours = children(rows, prefix.length);
  for (const [number, right] of theirs.children.entries()) {
    if (hex(await node(ours[number], prefix.length + 1)) === right) continue;
    found.push(...(await differences(url, kind, ours[number], version, prefix + number.toString(16))));
  }
  return found;
}

/** Compare a copy with the server's digest at its version and repair the buckets that differ. Returns their number. */
export async function verify(url, store, version, kinds = null) {
  const [{ data }] = await ask(`${url}/digest?at=${version}`);
  const nouns = Object.keys(data.nouns).filter((kind) => kinds?.split(",").includes(kind) ?? true).sort();
  const theirs = kinds ? hex(await sha256("root", ...nouns.map((kind) => bytesOf(data.nouns[kind].root)))) : data.root;
  if ((await root(store)) === theirs) return 0;
  const [wrong, changes] = [(await store.kinds()).filter((kind) => !nouns.includes(kind)).map((kind) => [kind, ""]), []];
  for (const kind of nouns) {
    const rows = await leaves(kind, await store.all(kind));
    if (hex(await sha256("noun", `${kind}\n`, await node(rows))) === data.nouns[kind].root) continue;
    for (const [prefix, records] of await differences(url, kind, rows, version)) {
      wrong.push([kind, prefix]);
      changes.push(...records);
    }
  }
  await store.save(await store.cursor(), changes, wrong);
  if ((await root(store)) !== theirs) throw new DifferenceError("the copy differs and can't be repaired");
  return wrong.length;
}

/**
 * Bring a copy up to date, verify it, and return its version. With `follow`, continue forever.
 *
 * `kinds`, `city` and `survey` are the API's, for a copy of a part; nothing can verify one of cities or surveys.
 * A failed request is repeated up to `patience` times in a row. Throws a DifferenceError if the copy can't be repaired.
 */
export async function mirror(url, store, { follow = false, limit = 1000, patience = 5, ...part } = {}) {
  for (let wait = 0, failures = 0, proved = null; ; ) {
    try {
      if ((await store.cursor()) === null) {
        const [first, ...lines] = await ask(`${url}/snapshot?${new URLSearchParams(part)}`);
        if (lines.length !== first.count) throw new Error("the snapshot is incomplete");
        await store.save(first.cursor, rowsOf(lines), null);
      }
      const query = new URLSearchParams({ cursor: await store.cursor(), limit, wait, ...part });
      const [page] = await ask(`${url}/changes?${query}`);
      // If this is saved and the page is not, the page comes again.
      await store.redirect?.(page.data.map((row) => [row.kind, row.id, row.merged_into ?? null]));
      await store.save(page.cursor, rowsOf(page.data));
      if (page.links.next === null && page.cursor !== proved && !("city" in part || "survey" in part)) {
        await verify(url, store, page.head, part.kinds);
        proved = page.cursor;
      }
      if (page.links.next === null && !follow) return page.head;
      [failures, wait] = [0, follow ? 25 : 0];
    } catch (error) {
      // The server may refuse to wait because too many clients do, so ask again without `wait`.
      [failures, wait] = [failures + 1, 0];
      const status = error instanceof DifferenceError ? 0 : (error.answer?.status ?? 503);
      // If only a proof is gone, its past was trimmed; the copy stays, and a later version has another.
      const isLost = status === 410 && error.answer.url.includes("/changes?");
      if (![410, 429, 502, 503, 504].includes(status) || failures > patience + isLost) throw error;
      if (isLost) await store.save(null, []);
      const pause = error.answer?.headers.get("Retry-After") ?? "";
      await new Promise((done) => setTimeout(done, 1000 * (/^\d+$/.test(pause) ? pause : !isLost)));
    }
  }
}
