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

  /** Save changes [kind, id, document or null] with their cursor, after deleting the "kind/bucket" in `clear` (null: all). */
  async save(cursor, changes, clear = new Set()) {
    const gone = [];
    for (const [kind, rows] of clear?.size ? this.records : []) {
      for (const id of rows.keys()) if (clear.has(`${kind}/${await bucketOf(kind, id)}`)) gone.push([kind, id, null]);
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

/** Return the bucket of a record, 0 to 255. */
export const bucketOf = async (kind, id) => (await sha256("key", `${kind}\n${id}`))[0];

/** Return the hashes of the 256 buckets of a noun; `records` are [id, document], ordered by id. */
export async function buckets(kind, records) {
  const [leaves, empty] = [Array.from({ length: 256 }, () => []), await sha256("bucket")];
  for (const [id, document] of records) {
    leaves[await bucketOf(kind, id)].push(await sha256("leaf", `${kind}\n${id}\n${canonical(document)}`));
  }
  return Promise.all(leaves.map((row) => (row.length ? sha256("bucket", ...row) : empty)));
}

/** Return the root of a copy. It equals the server's root at the same version if the copy is complete. */
export async function root(store) {
  const nouns = [];
  for (const kind of (await store.kinds()).sort()) {
    nouns.push(await sha256("noun", `${kind}\n`, ...(await buckets(kind, await store.all(kind)))));
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

/** Compare a copy with the server's digest at its version and repair the buckets that differ. Returns their number. */
export async function verify(url, store, version, kinds = null) {
  const [{ data }] = await ask(`${url}/digest?at=${version}&buckets=true`);
  const nouns = Object.keys(data.nouns).filter((kind) => kinds?.split(",").includes(kind) ?? true).sort();
  const theirs = kinds ? hex(await sha256("root", ...nouns.map((kind) => bytesOf(data.nouns[kind].root)))) : data.root;
  if ((await root(store)) === theirs) return 0;
  const [wrong, rows, empty] = [new Set(), [], hex(await sha256("bucket"))];
  for (const kind of new Set([...nouns, ...(await store.kinds())])) {
    for (const [number, ours] of (await buckets(kind, await store.all(kind))).entries()) {
      const right = (nouns.includes(kind) && data.nouns[kind].buckets[number]) || empty;
      if (hex(ours) === right) continue;
      wrong.add(`${kind}/${number}`);
      if (right !== empty) rows.push(...rowsOf((await ask(`${url}/digest/buckets/${kind}/${number}?at=${version}`))[0].data));
    }
  }
  await store.save(await store.cursor(), rows, wrong);
  if ((await root(store)) !== theirs) throw new DifferenceError("the copy differs and can't be repaired");
  return wrong.size;
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
