# A cache in front of the API, for Varnish 6 or newer. Set S_MAXAGE, and perhaps STALE_WHILE_REVALIDATE, for the API.
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "8000";
    # Longer than the longest poll of `/changes?wait=`.
    .first_byte_timeout = 90s;
    .probe = {
        .url = "/readyz";
        .interval = 2s;
        .timeout = 1s;
        .threshold = 1;
        .window = 2;
    }
}

# Where `webhooks run` and the operator are.
acl purgers {
    "127.0.0.1";
    "::1";
}

# Proxies in front of Varnish. What others say of scheme and host would get into the links of answers that all get.
acl proxies {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    if (!client.ip ~ proxies) {
        unset req.http.Forwarded;
        unset req.http.X-Forwarded-Host;
        unset req.http.X-Forwarded-Proto;
    }
    # The receiver of a webhook: every commit changes the state of the dataset, so all answers go.
    if (req.url == "/.purge") {
        if (req.method != "POST" || !client.ip ~ purgers) {
            return (synth(403));
        }
        ban("obj.status != 0");
        return (synth(204));
    }
    if (std.healthy(req.backend_hint)) {
        # The same number as STALE_WHILE_REVALIDATE. While the API is away, all of the grace below counts.
        set req.grace = 10s;
    }
    # The same preference in other words is one answer.
    if (req.http.Accept ~ "application/xhtml\+xml") {
        set req.http.Accept = "text/html,application/xhtml+xml";
    } elsif (!req.http.Accept || req.http.Accept ~ "^\s*(application/json\s*,\s*)?\*/\*\s*$") {
        # Not JSON, which a few paths such as /snapshot do not have.
        set req.http.Accept = "*/*";
    }
}

sub vcl_backend_response {
    if (beresp.ttl > 0s) {
        # Serve what is there while the API is away, as its STALE_IF_ERROR does.
        set beresp.grace = 300s;
        # Ask for an old answer by its ETag, so that an unchanged one costs a 304.
        set beresp.keep = 1h;
    }
}
