// A relying party as its author would write it, with openid-client: all that this system offers to one, once.
//
// It is told about itself in one line of JSON on standard input. It prints a line of JSON for each page that its user
// is to visit, and reads a line with the URL at which the user came back; the last line says what it saw.

import https from 'node:https'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import * as client from 'openid-client'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await lines.next()).value
const say = (value) => console.log(JSON.stringify(value))
const visit = async (url) => {
  say({ visit: url.href })
  return new URL(await read())
}

const { issuer, id, secret, callback, goodbye, service } = JSON.parse(await read())

const config = await client.discovery(new URL(issuer), id, undefined, client.ClientSecretBasic(secret))

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const returned = await visit(
  client.buildAuthorizationUrl(config, {
    redirect_uri: callback,
    scope: 'openid profile add_order',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    max_age: '600',
  }),
)
const checks = { expectedState: state, expectedNonce: nonce, idTokenExpected: true, maxAge: 600 }
const thief = { ...checks, pkceCodeVerifier: client.randomPKCECodeVerifier() }
const refusal = await client.authorizationCodeGrant(config, returned, thief).catch((error) => error.error)
const tokens = await client.authorizationCodeGrant(config, returned, { ...checks, pkceCodeVerifier: verifier })
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const introspected = await client.tokenIntrospection(config, refreshed.access_token)

// Only services may exchange tokens, each with its certificate: RFC 8705, at the endpoints that metadata names for it.
const agent = new https.Agent({ cert: readFileSync(service.certificate), key: readFileSync(service.key) })
const fetchWithCertificate = (url, { method, headers, body }) =>
  new Promise((resolve, reject) => {
    const request = https.request(url, { agent, method, headers }, async (answer) => {
      const content = Buffer.concat(await answer.toArray())
      resolve(new Response(content, { status: answer.statusCode, headers: answer.headers }))
    })
    request.on('error', reject)
    request.end(body?.toString())
  })
const gateway = await client.discovery(
  new URL(issuer),
  service.id,
  { use_mtls_endpoint_aliases: true },
  client.TlsClientAuth(),
  { [client.customFetch]: fetchWithCertificate },
)
const exchanged = await client.genericGrantRequest(gateway, 'urn:ietf:params:oauth:grant-type:token-exchange', {
  subject_token: refreshed.access_token,
  subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  audience: 'order',
})
agent.destroy()

await client.tokenRevocation(config, refreshed.refresh_token)
const revoked = await client.tokenIntrospection(config, refreshed.access_token)

const left = await visit(
  client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: goodbye, state }),
)
const token = tokens.access_token
say({ refusal, claims, userinfo, introspected, exchanged, revoked, left: left.href, state, token })
