// A certified OAuth2 authorization server (npm `oidc-provider`) and, behind it, an API that accepts only its tokens.
//
// Usage: node oauth2.mjs PORT. Prints one JSON line when it listens: {"port", "refresh_token"}.
//
// - POST /token: grants `client_credentials` and `refresh_token`; a refresh token is good for one use (rotation).
// - GET /api/items?page=N: three pages of two items, for a bearer token of this server; 401 for any other.
// - GET /api/requests: how often each token was used and how many tokens were issued, for assertions.

import http from "node:http";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const client = { client_id: "feed", client_secret: "feed-secret-0123456789abcdef0123456789abcdef" };
const resource = `${issuer}/api`;
const ttl = Number(process.env.TOKEN_TTL_SECONDS ?? "60");
const pageDelay = Number(process.env.PAGE_DELAY_MS ?? "0");
const counters = { issued: 0, refused: 0, served: 0 };

const provider = new Provider(issuer, {
  clients: [
    {
      ...client,
      grant_types: ["client_credentials", "refresh_token", "authorization_code"],
      redirect_uris: [`${issuer}/callback`],
      response_types: ["code"],
      token_endpoint_auth_method: process.env.CLIENT_AUTH ?? "client_secret_post",
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "items:read", audience: resource, accessTokenTTL: ttl, accessTokenFormat: "opaque" }),
    },
  },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: ttl, ClientCredentials: ttl, RefreshToken: 3600, Grant: 3600 },
});
provider.on("grant.success", () => (counters.issued += 1));
provider.on("grant.error", () => (counters.refused += 1));

// What a person's consent in a browser would have left behind.
async function issueRefreshToken() {
  const grant = new provider.Grant({ accountId: "owner", clientId: client.client_id });
  grant.addOIDCScope("openid offline_access");
  grant.addResourceScope(resource, "items:read");
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId: "owner",
    client: await provider.Client.find(client.client_id),
    grantId,
    gty: "authorization_code",
    resource,
    scope: "openid offline_access items:read",
  });
  return token.save();
}

async function api(request, response) {
  const url = new URL(request.url, issuer);
  const answer = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  if (url.pathname === "/api/requests") return answer(200, counters);
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const found = token && ((await provider.ClientCredentials.find(token)) ?? (await provider.AccessToken.find(token)));
  if (!found || found.isExpired) return answer(401, { error: "invalid_token" });
  counters.served += 1;
  await new Promise((resolve) => setTimeout(resolve, pageDelay));
  const page = Number(url.searchParams.get("page") ?? "1");
  const items = page > 3 ? [] : [page * 2 - 1, page * 2].map((id) => ({ id, name: `item ${id}` }));
  return answer(200, { items });
}

const handle = provider.callback();
http
  .createServer((request, response) => (request.url.startsWith("/api/") ? api(request, response) : handle(request, response)))
  .listen(port, "127.0.0.1", async () => {
    console.log(JSON.stringify({ port, refresh_token: await issueRefreshToken() }));
  });
