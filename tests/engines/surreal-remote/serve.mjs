// A SurrealDB server for tests: the real engine (core 3.x) with its own sessions, users and disk, at ws://…/rpc.
//
//   node serve.mjs <surrealkv://… or mem://> <port, 0: a free one> <user> <password> [isolated]
//
// Core 3.0 lets two transactions commit the same new rows if they do so at the same moment (docs/scaling.md). `isolated`:
// transactions are run one after the other, as if it did not.
//
// It prints its port once it listens. What the released server does and this does not: TLS, HTTP, a cluster.
import { argon2Sync, randomBytes } from "node:crypto";
import { NodeEngine } from "@surrealdb/node";
import { CborCodec } from "surrealdb";
import { WebSocketServer } from "ws";

const [url, port, user, password, isolated] = process.argv.slice(2);
if (!/^\w+$/.test(`${user}${password}`)) throw new Error("user and password: letters and digits, please");

// The driver encodes requests and decodes replies; ours are encoded already, and replies stay so.
const raw = { encode: (request) => request.bytes, decode: (reply) => reply };
const engine = new NodeEngine({ uniqueId: () => "", codecs: { cbor: raw } });
const open = new Promise((resolve, reject) => {
  engine.subscribe("connected", resolve);
  engine.subscribe("error", reject);
});
engine.open({ url: new URL(url), rootSession: {}, sessions: new Map() });
await open;

const cbor = new CborCodec({});
const execute = (bytes) => engine.send({ bytes });
const failed = (reply) => reply[0] === 0xa1 && reply.subarray(2, 7).toString() === "error";
// A hash that is quick to check: each of hundreds of sessions signs in, and with the engine's own that takes 75 ms of a core.
const cheap = { message: password, nonce: randomBytes(16), parallelism: 1, tagLength: 32, memory: 8, passes: 1 };
const base64 = (bytes) => bytes.toString("base64").replaceAll("=", "");
const hash = `$argon2id$v=19$m=8,t=1,p=1$${base64(cheap.nonce)}$${base64(argon2Sync("argon2id", cheap))}`;
const users = `DEFINE USER IF NOT EXISTS ${user} ON ROOT PASSHASH '${hash}' ROLES OWNER`;
if (failed(Buffer.from(await execute(cbor.encode({ id: "0", method: "query", params: [users] }))))) throw new Error(users);

const SESSION = Buffer.concat([Buffer.from([0x67]), Buffer.from("session"), Buffer.from([0xd8, 37, 0x50])]);
const [ID, RESULT] = [Buffer.from("\x62id"), Buffer.from("\x66result")];
const REFUSED = { error: { code: -32000, kind: "NotAllowed", message: "IAM error: Not enough permissions" } };

let last = Promise.resolve();
const inTurn = (run) => (last = last.then(run, run));

const server = new WebSocketServer({ port: Number(port), host: "127.0.0.1", path: "/rpc", maxPayload: 2 ** 28 });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  const session = randomBytes(16);
  // A request is a map: one more pair makes it one of this connection's session. It begins with its id, a short text.
  const ours = (bytes) => Buffer.concat([Buffer.from([bytes[0] + 1]), bytes.subarray(1), SESSION, session]);
  const attached = execute(ours(cbor.encode({ id: "0", method: "attach" })));
  let signedIn = false;

  const answered = async (bytes) => {
    await attached;
    const method = signedIn ? undefined : cbor.decode(bytes).method;
    const allowed = signedIn || ["ping", "version", "signin"].includes(method);
    const run = () => (allowed ? execute(ours(bytes)) : cbor.encode(REFUSED));
    const reply = Buffer.from(await (isolated && bytes.includes("BEGIN") ? inTurn(run) : run()));
    if (method === "signin") signedIn = !failed(reply);
    const id = bytes.subarray(4, 5 + (bytes[4] & 0x1f));
    const [pairs, rest] = failed(reply) ? [[], reply.subarray(1)] : [[RESULT], reply];
    return Buffer.concat([Buffer.from([0xa2]), ID, id, ...pairs, rest]);
  };
  socket.on("message", (bytes) => {
    answered(bytes).then((reply) => socket.send(reply), (error) => socket.close(1011, `${error}`.slice(0, 100)));
  });
  socket.on("close", () => execute(ours(cbor.encode({ id: "0", method: "detach" }))).catch(() => {}));
});
