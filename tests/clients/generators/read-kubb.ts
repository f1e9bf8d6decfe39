import { setConfig } from "@kubb/plugin-client/clients/fetch";
import { listInitiatives } from "./kubb/clients/listInitiatives.ts";
import type { Problem } from "./kubb/types/Problem.ts";
import { assert, read, server } from "./reader.ts";

setConfig({ baseURL: server });

// The control: what the API would refuse does not compile.
// @ts-expect-error: such a parameter is not there.
export const unknownParameter = () => listInitiatives({ "city.stat": ["CA"] });

// The client gives a refusal the type of an answer.
const isProblem = (body: object): body is Problem => "errors" in body && "status" in body;

void read(
  async (query) => {
    const answer = await listInitiatives(query);
    assert(answer.status === 200, JSON.stringify(answer));
    return answer.data;
  },
  async (limit) => {
    const answer: { data: object } = await listInitiatives({ limit });
    assert(isProblem(answer.data), "a page of 501 is refused");
    return answer.data;
  },
);
