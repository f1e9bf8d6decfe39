// Reads a list to its end with nothing but the types that are made from the served document.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Query = NonNullable<paths["/initiatives"]["get"]["parameters"]["query"]>;
type Page = components["schemas"]["InitiativeList"];

// Without a library of types for Node.
declare const process: { readonly argv: readonly string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

const asked: Query = {
  "city.state": ["CA"],
  priority: ["cybersecurity", "modernization"],
  include: ["city"],
  sort: ["-started", "title"],
  limit: 4,
};

function assert(holds: unknown, claim: string): asserts holds {
  if (!holds) throw new Error(claim);
}

// The controls: what the API would refuse does not compile.
// @ts-expect-error: such a parameter is not there.
export const unknownParameter: Query = { "city.stat": ["CA"] };
// @ts-expect-error: nor is such an order.
export const unknownOrder: Query = { sort: ["-begun"] };
// @ts-expect-error: and a limit is a number.
export const wrongType: Query = { limit: "4" };

const data: Page["data"] = [];
const included: Page["included"] = {};
let pages = 0;
let cursor: Page["page"]["cursor"] = null;
do {
  const query: Query = cursor === null ? asked : { ...asked, cursor };
  const answer = await client.GET("/initiatives", { params: { query } });
  assert(answer.data, JSON.stringify(answer.error));
  const page: Page = answer.data;
  assert(page.data.length <= 4, "no page is longer than was asked");
  assert((page.page.cursor === null) === (page.links.next === null), "both say whether there is more");
  for (const { city, priorities } of page.data) {
    assert(page.included.cities?.[city]?.state === "CA", "the city is there, and in California");
    assert(priorities.some((id) => id === "cybersecurity" || id === "modernization"), "it serves one of the two");
  }
  data.push(...page.data);
  included.cities = { ...included.cities, ...page.included.cities };
  pages += 1;
  cursor = page.page.cursor;
} while (cursor !== null);

const { error } = await client.GET("/initiatives", { params: { query: { limit: 501 } } });
assert(error, "a page of 501 is refused");
console.log(JSON.stringify({ data, included, pages, refused: [error.status, error.errors[0]?.parameter] }));
