/**
 * A complete copy of a Digital Cities API that proves itself: one file, no dependency, for Node and browsers.
 *
 *     const store = new MemoryStore();
 *     await mirror("https://api.example.org", store);
 *
 * It goes on where it was, proves its copy, mends what differs, and begins again when the server has lost its past.
 */

const BUCKETS = 256;
const text = new TextEncoder();

/** Keeps a copy in memory; any object with these four methods does as well. `save` is all or nothing. */
export class MemoryStore {
  records = new Map();
  position = null;

  /** Return the cursor that was saved last, or null. */
  async cursor() {
    return this.position;
  }

  /** Write [kind, id, document or null] and the cursor after them; forget the "kind/bucket" of `clear`, or all, before. */
  async save(cursor, changes, clear = new Set()) {
    const next = clear === null ? new Map() : new Map([...this.records].map(([kind, rows]) => [kind, new Map(rows)]));
    for (const [kind, rows] of clear?.size ? next : []) {
      for (const id of rows.keys()) if (clear.has(`${kind}/${await bucketOf(kind, id)}`)) rows.delete(id);
    }
    for (const [kind, id, document] of changes) {
      if (!next.has(kind)) next.set(kind, new Map());
      if (document === null) next.get(kind).delete(id);
      else next.get(kind).set(id, document);
    }
    [this.records, this.position] = [next, cursor];
  }

  /** Return the nouns of which there are records. */
  async kinds() {
    return [...this.records.keys()].filter((kind) => this.records.get(kind).size);
  }

  /** Return the [id, document] of a noun's records, in the order of their ids. */
  async all(kind) {
    return [...(this.records.get(kind) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** Return a value as RFC 8785 writes it: JSON.stringify does, but for the order of members, which is by UTF-16. */
export function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** Hash texts and hashes below one of the digest's labels. */
export async function sha256(label, ...parts) {
  const bytes = [`digital-cities/${label}/1\n`, ...parts].map((part) => (typeof part === "string" ? text.encode(part) : part));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await new Blob(bytes).arrayBuffer()));
}

/** Return a hash as text. */
export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Return the number of a record's bucket. */
export const bucketOf = async (kind, id) => (await sha256("key", `${kind}\n${id}`))[0];

/** Return the hash of each of a noun's buckets; `records` are [id, document], in the order of their ids. */
export async function buckets(kind, records) {
  const leaves = Array.from({ length: BUCKETS }, () => []);
  for (const [id, document] of records) {
    leaves[await bucketOf(kind, id)].push(await sha256("leaf", `${kind}\n${id}\n${canonical(document)}`));
  }
  return Promise.all(leaves.map((row) => sha256("bucket", ...row)));
}

/** Return the root of a copy, which is the server's `root` at the copy's version when it is complete. */
export async function root(store) {
  const nouns = [];
  for (const kind of (await store.kinds()).sort()) {
    nouns.push(await sha256("noun", `${kind}\n`, ...(await buckets(kind, await store.all(kind)))));
  }
  return hex(await sha256("root", ...nouns));
}

/** Return the server's answer, one JSON value a line. */
async function ask(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw Object.assign(new Error(`${url}: ${answer.status}`), { answer });
  return (await answer.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
}

const rowsOf = (data) => data.map(({ kind, id, document }) => [kind, id, document]);

/** Compare the copy with the server's digest at its version, and mend the buckets that differ; returns their number. */
export async function verify(url, store, version) {
  const [{ data }] = await ask(`${url}/digest?at=${version}&buckets=true`);
  if ((await root(store)) === data.root) return 0;
  const [wrong, rows, empty] = [new Set(), [], hex(await sha256("bucket"))];
  for (const kind of new Set([...Object.keys(data.nouns), ...(await store.kinds())])) {
    for (const [number, ours] of (await buckets(kind, await store.all(kind))).entries()) {
      if (hex(ours) === (data.nouns[kind]?.buckets[number] ?? empty)) continue;
      const [bucket] = await ask(`${url}/digest/buckets/${kind}/${number}?at=${version}`);
      wrong.add(`${kind}/${number}`);
      rows.push(...rowsOf(bucket.data));
    }
  }
  await store.save(await store.cursor(), rows, wrong);
  return wrong.size;
}

/**
 * Bring a copy up to date and prove it; returns its version. With `follow`, go on for ever.
 *
 * What fails is tried again, `patience` times in a row; then what it failed with is thrown.
 */
export async function mirror(url, store, { follow = false, limit = 1000, patience = 5 } = {}) {
  for (let wait = 0, failures = 0, mended = 0; ; ) {
    try {
      if ((await store.cursor()) === null) {
        const [first, ...rows] = await ask(`${url}/snapshot`);
        await store.save(first.cursor, rowsOf(rows), null);
      }
      const [page] = await ask(`${url}/changes?${new URLSearchParams({ cursor: await store.cursor(), limit, wait })}`);
      await store.save(page.cursor, rowsOf(page.data));
      const isNew = page.data.length > 0 || wait === 0;
      [failures, wait] = [0, 0];
      if (page.links.next !== null) continue;
      const before = mended;
      mended = isNew ? await verify(url, store, page.head) : 0;
      if (before && mended) failures = patience;
      if (before && mended) throw new Error("the copy differs again after it was mended");
      if (!follow && !mended) return page.head;
      wait = mended ? 0 : 25;
    } catch (error) {
      const status = error.answer?.status ?? 503;
      if (status === 410) await store.save(null, [], null);
      else if (![429, 502, 503, 504].includes(status) || ++failures > patience) throw error;
      else await new Promise((done) => setTimeout(done, 1000 * (error.answer?.headers.get("Retry-After") ?? 1)));
    }
  }
}
