// What proves identities of Cloudflare Access: its key set is read, and signatures are checked, by
// the platform.

/** The text at a URL, of at most `limit` bytes. The connection ends after so many milliseconds. */
export async function readText(url, limit, milliseconds) {
  const signal = AbortSignal.timeout(milliseconds);
  const response = await fetch(url, { redirect: "manual", signal });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the answer has the status ${response.status}`);
  }
  const decoder = new TextDecoder();
  let size = 0;
  let text = "";
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > limit) throw new Error(`the answer has more than ${limit} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Whether this is the signature of the text by RS256 (RFC 7518, section 3.3). */
export async function verifyRs256(n, e, signed, signature) {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const { subtle } = crypto;
  const key = await subtle.importKey("jwk", { kty: "RSA", n, e }, algorithm, false, ["verify"]);
  return subtle.verify(algorithm, key, signature, new TextEncoder().encode(signed));
}
