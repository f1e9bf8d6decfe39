// Reads a list to its end and is refused once, with whichever client; the types are what a reader expects of any.

// Without a library of types for Node.
declare const process: { readonly argv: readonly string[] };

export const server = process.argv[2] ?? "";

export interface Query {
  "city.state": string[];
  priority: string[];
  include: "city"[];
  sort: ("-started" | "title")[];
  limit: number;
  cursor?: string;
}

interface Page {
  data: { id: string; city: string; priorities: string[]; started: string | null }[];
  included: { cities?: Record<string, { state: string | null }> };
  page: { cursor: string | null };
  links: { next: string | null };
}

interface Refusal {
  status: number;
  errors: { parameter?: string }[];
}

const asked: Query = {
  "city.state": ["CA"],
  priority: ["cybersecurity", "modernization"],
  include: ["city"],
  sort: ["-started", "title"],
  limit: 4,
};

export function assert(holds: unknown, claim: string): asserts holds {
  if (!holds) throw new Error(claim);
}

export async function read(list: (query: Query) => Promise<Page>, refused: (limit: number) => Promise<Refusal>) {
  const data: Page["data"] = [];
  const cities: NonNullable<Page["included"]["cities"]> = {};
  let pages = 0;
  let cursor: string | null = null;
  do {
    const page: Page = await list(cursor === null ? asked : { ...asked, cursor });
    assert(page.data.length <= 4, "no page is longer than was asked");
    assert((page.page.cursor === null) === (page.links.next === null), "both say whether there is more");
    for (const { city, priorities } of page.data) {
      assert(page.included.cities?.[city]?.state === "CA", "the city is there, and in California");
      assert(priorities.some((id) => id === "cybersecurity" || id === "modernization"), "it serves one of the two");
    }
    data.push(...page.data);
    Object.assign(cities, page.included.cities);
    pages += 1;
    cursor = page.page.cursor;
  } while (cursor !== null);
  const problem = await refused(501);
  const answer = { data, included: { cities }, pages, refused: [problem.status, problem.errors[0]?.parameter] };
  console.log(JSON.stringify(answer));
}
