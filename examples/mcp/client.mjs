// A client that has nothing but the address of the server, as client.py. Prints what the
// server says of each call.
//
// `redirectToAuthorization` is where a program would open a browser; here nobody has to
// be asked, so the redirect is followed at once.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

const url = new URL(`${process.env.GATEWAY ?? 'http://127.0.0.1:10000'}/mcp`);
const redirect = 'http://127.0.0.1:9300/callback';

class Provider {
  get redirectUrl() { return redirect; }
  get clientMetadata() {
    return {
      client_name: 'example', redirect_uris: [redirect], grant_types: ['authorization_code'],
      response_types: ['code'], token_endpoint_auth_method: 'none', application_type: 'native',
    };
  }
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.kept; }
  saveTokens(tokens) { this.kept = tokens; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
  saveDiscoveryState(state) { this.discovered = state; }
  discoveryState() { return this.discovered; }
  async redirectToAuthorization(authorization) {
    const answer = await fetch(authorization, { redirect: 'manual' });
    this.answer = new URL(answer.headers.get('location')).searchParams;
  }
}

const provider = new Provider();
let transport;
let client;

async function connect() {
  transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  client = new Client({ name: 'example', version: '1' });
  await client.connect(transport);
}

// Does something; where the server asks for a token, or for one with more scopes, once more.
async function authorized(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(provider.answer);
    return await action();
  }
}

await authorized(connect);
for (const [name, args] of [
  ['list_catalog', {}], ['place_order', { item: 'cup' }], ['list_catalog', {}],
]) {
  const result = await authorized(() => client.callTool({ name, arguments: args }));
  console.log(JSON.stringify(result.structuredContent ?? result));
}
await client.close();
