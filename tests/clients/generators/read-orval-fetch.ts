import { listInitiatives } from "./orval-fetch/client";
import { assert, read } from "./reader";

// The control: what the API would refuse does not compile.
// @ts-expect-error: such a parameter is not there.
export const unknownParameter = () => listInitiatives({ "city.stat": ["CA"] });

void read(
  async (query) => {
    const answer = await listInitiatives(query);
    assert(answer.status === 200, JSON.stringify(answer));
    return answer.data;
  },
  async (limit) => {
    const answer = await listInitiatives({ limit });
    assert(answer.status === 400, "a page of 501 is refused");
    return answer.data;
  },
);
