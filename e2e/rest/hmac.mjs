// Verifies HMAC signatures with njs, nginx's JavaScript: a subrequest of `auth_request`, 204 for a good one and 401 for any other.
//
// `$hmac_hash` names the digest and `$hmac_encoding` how `X-Signature` is written (hex or base64). Signed are the timestamp in
// `X-Timestamp`, the method, the path and the query, a line each; a timestamp is good for five minutes.

const SECONDS = 300;

async function verify(request) {
  const variables = request.variables;
  const timestamp = request.headersIn["X-Timestamp"] || "";
  const target = variables.request_uri.split("?");
  const text = [timestamp, variables.request_method, target[0], target[1] || ""].join("\n");
  const signature = Buffer.from(request.headersIn["X-Signature"] || "", variables.hmac_encoding);
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: variables.hmac_hash };
  const secret = encoder.encode(variables.hmac_secret);
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["verify"]);
  const isGood = await crypto.subtle.verify({ name: "HMAC" }, key, signature, encoder.encode(text));
  const isFresh = Math.abs(Date.now() / 1000 - Number(timestamp)) <= SECONDS;
  request.return(isGood && isFresh ? 204 : 401);
}

export default { verify };
