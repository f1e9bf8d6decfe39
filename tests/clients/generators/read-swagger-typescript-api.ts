import { assert, read, server } from "./reader";
import { Api, type Problem } from "./swagger-typescript-api/client";

const { initiatives } = new Api({ baseUrl: server });

// The control: what the API would refuse does not compile.
// @ts-expect-error: such a parameter is not there.
export const unknownParameter = () => initiatives.listInitiatives({ "city.stat": ["CA"] });

void read(
  // The client repeats a parameter for each item of a list, which the API takes for two conditions.
  async (query) => (await initiatives.listInitiatives({ ...query, priority: [query.priority.join(",")] })).data,
  async (limit) => {
    const refusal = await initiatives.listInitiatives({ limit }).then(
      () => null,
      (answer: { error: Problem }) => answer.error,
    );
    assert(refusal, "a page of 501 is refused");
    return refusal;
  },
);
