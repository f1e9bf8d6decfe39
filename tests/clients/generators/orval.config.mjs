// The document names no host, so the base is that of the server under test.
const output = { mode: "split", baseUrl: process.env.SERVER };

export default {
  "orval-fetch": {
    input: "openapi.json",
    output: { ...output, client: "fetch", target: "orval-fetch/client.ts", schemas: "orval-fetch/model" },
  },
  "orval-react-query": {
    input: "openapi.json",
    output: { ...output, client: "react-query", httpClient: "fetch", target: "orval-react-query/client.ts", schemas: "orval-react-query/model" },
  },
};
