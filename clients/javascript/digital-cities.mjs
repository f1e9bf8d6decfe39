/**
 * A complete copy of a Digital Cities API that proves itself: one file, no dependency, for Node and browsers.
 *
 *     const store = new MemoryStore();
 *     await mirror("https://api.example.org", store);
 *
 * It goes on where it was, proves its copy, mends what differs, and begins again when the server has lost its past.
 */

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
    const gone = [];
    for (const [kind, rows] of clear?.size ? this.records : []) {
      for (const id of rows.keys()) if (clear.has(`${kind}/${await bucketOf(kind, id)}`)) gone.push([kind, id, null]);
    }
    // From here on nobody else gets to see anything half done.
    if (clear === null) this.records = new Map();
    for (const [kind, id, document] of [...gone, ...changes]) {
      if (!this.records.has(kind)) this.records.set(kind, new Map());
      if (document === null) this.records.get(kind).delete(id);
      else this.records.get(kind).set(id, document);
    }
    this.position = cursor;
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
  const bytes = await new Blob([`digital-cities/${label}/1\n`, ...parts]).arrayBuffer();
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** Return a hash as text. */
export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Return the number of a record's bucket. */
export const bucketOf = async (kind, id) => (await sha256("key", `${kind}\n${id}`))[0];

/** Return the hash of each of a noun's 256 buckets; `records` are [id, document], in the order of their ids. */
export async function buckets(kind, records) {
  const [leaves, empty] = [Array.from({ length: 256 }, () => []), await sha256("bucket")];
  for (const [id, document] of records) {
    leaves[await bucketOf(kind, id)].push(await sha256("leaf", `${kind}\n${id}\n${canonical(document)}`));
  }
  return Promise.all(leaves.map((row) => (row.length ? sha256("bucket", ...row) : empty)));
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

/** The copy differs from the server's digest, and can't be mended. */
export class DifferenceError extends Error {}

/** Compare the copy with the server's digest at its version, and mend the buckets that differ; returns their number. */
export async function verify(url, store, version) {
  const [{ data }] = await ask(`${url}/digest?at=${version}&buckets=true`);
  if ((await root(store)) === data.root) return 0;
  const [wrong, rows, empty] = [new Set(), [], hex(await sha256("bucket"))];
  for (const kind of new Set([...Object.keys(data.nouns), ...(await store.kinds())])) {
    for (const [number, ours] of (await buckets(kind, await store.all(kind))).entries()) {
      const right = data.nouns[kind]?.buckets[number] ?? empty;
      if (hex(ours) === right) continue;
      wrong.add(`${kind}/${number}`);
      if (right !== empty) rows.push(...rowsOf((await ask(`${url}/digest/buckets/${kind}/${number}?at=${version}`))[0].data));
    }
  }
  await store.save(await store.cursor(), rows, wrong);
  if ((await root(store)) !== data.root) throw new DifferenceError("the copy differs, and can't be mended");
  return wrong.size;
}

/**
 * Bring a copy up to date and prove it; returns its version. With `follow`, go on for ever.
 *
 * What fails is tried again, `patience` times in a row, then thrown; a DifferenceError when the copy can't be mended.
 */
export async function mirror(url, store, { follow = false, limit = 1000, patience = 5 } = {}) {
  for (let wait = 0, failures = 0, proved = null; ; ) {
    try {
      if ((await store.cursor()) === null) {
        const [first, ...lines] = await ask(`${url}/snapshot`);
        if (lines.length !== first.count) throw new Error("the snapshot is not whole");
        await store.save(first.cursor, rowsOf(lines), null);
      }
      const [page] = await ask(`${url}/changes?${new URLSearchParams({ cursor: await store.cursor(), limit, wait })}`);
      await store.save(page.cursor, rowsOf(page.data));
      if (page.links.next === null && page.cursor !== proved) {
        await verify(url, store, page.head);
        proved = page.cursor;
      }
      if (page.links.next === null && !follow) return page.head;
      [failures, wait] = [0, follow ? 25 : 0];
    } catch (error) {
      // Who can't wait, since too many do, asks without.
      [failures, wait] = [failures + 1, 0];
      const status = error instanceof DifferenceError ? 0 : (error.answer?.status ?? 503);
      if (![410, 429, 502, 503, 504].includes(status) || failures > patience + (status === 410 ? 1 : 0)) throw error;
      if (status === 410) await store.save(null, []);
      const pause = error.answer?.headers.get("Retry-After") ?? "";
      await new Promise((done) => setTimeout(done, 1000 * (/^\d+$/.test(pause) ? pause : status !== 410)));
    }
  }
}
