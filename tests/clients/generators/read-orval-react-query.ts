import { QueryClient } from "@tanstack/react-query";
import { getListInitiativesQueryOptions } from "./orval-react-query/client";
import { assert, read } from "./reader";

const queries = new QueryClient();

// The control: what the API would refuse does not compile.
// @ts-expect-error: such a parameter is not there.
export const unknownParameter = () => getListInitiativesQueryOptions({ "city.stat": ["CA"] });

void read(
  async (query) => {
    const answer = await queries.fetchQuery(getListInitiativesQueryOptions(query));
    assert(answer.status === 200, JSON.stringify(answer));
    return answer.data;
  },
  async (limit) => {
    const answer = await queries.fetchQuery(getListInitiativesQueryOptions({ limit }));
    assert(answer.status === 400, "a page of 501 is refused");
    return answer.data;
  },
);
