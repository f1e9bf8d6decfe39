import { client } from "./hey-api/client.gen";
import { listInitiatives } from "./hey-api/sdk.gen";
import { assert, read, server } from "./reader";

client.setConfig({ baseUrl: server });

// The control: what the API would refuse does not compile.
// @ts-expect-error: such a parameter is not there.
export const unknownParameter = () => listInitiatives({ query: { "city.stat": ["CA"] } });

void read(
  async (query) => {
    const { data, error } = await listInitiatives({ query });
    assert(data, JSON.stringify(error));
    return data;
  },
  async (limit) => {
    const { error } = await listInitiatives({ query: { limit } });
    assert(error, "a page of 501 is refused");
    return error;
  },
);
