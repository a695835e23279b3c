// grpc.cjs - gRPC as npm's `@grpc/grpc-js` speaks it, for plays. Messages are plain text, methods those of /shop.Cart.
//
//     node grpc.cjs FOLDER talk ADDRESS AUTHORITY             every kind of call; prints what came of each as JSON
//     node grpc.cjs FOLDER ask ADDRESS AUTHORITY METHOD       one call; prints its end
//
// FOLDER/node_modules has @grpc/grpc-js.

const {createRequire} = require("node:module");
const {join, resolve} = require("node:path");

const [folder, verb, address, authority, method] = process.argv.slice(2);
const grpc = createRequire(join(resolve(folder), "package.json"))("@grpc/grpc-js");

const SLOW = Number(process.env.SERIN_TEST_SLOW || 1);
const write = (text) => Buffer.from(text);
const read = (bytes) => bytes.toString();
const path = (name) => `/shop.Cart/${name}`;

function described(status) {
  return {code: status.code, details: status.details, metadata: status.metadata?.getMap() ?? {}};
}

// What a call gave, and how it ended.
function ended(call, got) {
  return new Promise((done) => {
    call.on("status", (status) => done({got, ...described(status)}));
    call.on("error", () => {}); // the status tells
  });
}

function unary(client, name, options = {}) {
  const got = [];
  const metadata = new grpc.Metadata();
  metadata.set("x-asked", "yes");
  const call = client.makeUnaryRequest(path(name), write, read, "ask", metadata, options, (error, answer) => {
    if (!error) {
      got.push(answer);
    }
  });
  return ended(call, got);
}

function streamed(client, name, onData) {
  const got = [];
  const call = client.makeServerStreamRequest(path(name), write, read, "ask");
  call.on("data", (answer) => {
    got.push(answer);
    onData?.(call);
  });
  return ended(call, got);
}

function uploaded(client, name) {
  const got = [];
  const call = client.makeClientStreamRequest(path(name), write, read, (error, answer) => {
    if (!error) {
      got.push(answer);
    }
  });
  for (const word of ["one", "two", "three"]) {
    call.write(word);
  }
  call.end();
  return ended(call, got);
}

async function talk(client) {
  return {
    unary: await unary(client, "Add"),
    stream: await streamed(client, "List"),
    upload: await uploaded(client, "Fill"),
    failed: await unary(client, "Fail"),
    none: await unary(client, "None"),
    late: await unary(client, "Slow", {deadline: Date.now() + 1000 * SLOW}),
    cancelled: await streamed(client, "Forever", (call) => call.cancel()),
  };
}

async function main() {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {"grpc.default_authority": authority});
  const seen = verb === "talk" ? await talk(client) : await unary(client, method);
  client.close();
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
