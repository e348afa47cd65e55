// Takes what the `http` sink posts: node webhook.mjs PORT FILE, with the secrets in WEBHOOK_SECRETS, separated by spaces.
//
// Nothing but Node itself. It appends each new receipt to FILE, a line each, and answers 204 when that is synced; the ids in the
// file are those it knows. A database does the same with a unique column.
import { createHmac, timingSafeEqual } from "node:crypto";
import { existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const [port, path] = process.argv.slice(2);
const keys = process.env.WEBHOOK_SECRETS.split(" ").map((secret) => Buffer.from(secret.replace(/^whsec_/, ""), "base64"));
const toleranceSeconds = 300;

const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
const seen = new Set(lines.map((line) => JSON.parse(line).id));
const file = openSync(path, "a");

function genuine(headers, body) {
  const { "webhook-id": id = "", "webhook-timestamp": stamp = "", "webhook-signature": signatures = "" } = headers;
  if (!/^\d+$/.test(stamp) || Math.abs(Date.now() / 1000 - Number(stamp)) > toleranceSeconds) return false;
  const claimed = signatures.split(" ").filter((part) => part.startsWith("v1,")).map((part) => Buffer.from(part.slice(3), "base64"));
  const expected = keys.map((key) => createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest());
  return expected.some((ours) => claimed.some((theirs) => theirs.length === ours.length && timingSafeEqual(ours, theirs)));
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (request.method !== "POST") return response.writeHead(204).end();
  if (!genuine(request.headers, body)) return response.writeHead(401).end();
  const fresh = [JSON.parse(body)].flat().map((event) => event.data).filter((receipt) => !seen.has(receipt.id));
  if (fresh.length) {
    writeSync(file, fresh.map((receipt) => JSON.stringify(receipt) + "\n").join(""));
    fsyncSync(file);
    for (const receipt of fresh) seen.add(receipt.id);
  }
  response.writeHead(204).end();
}).listen(Number(port), "127.0.0.1");
