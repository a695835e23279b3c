// grpc.cjs - gRPC as npm's `@grpc/grpc-js` speaks it, for plays. Messages are plain text, methods those of /shop.Cart.
//
//     node grpc.cjs FOLDER serve                              an origin; prints its port, then a line for each call that its
//                                                             client left; obeys lines of its input: `fail`, `heal`
//     node grpc.cjs FOLDER talk ADDRESS AUTHORITY             every kind of call; prints what came of each as JSON
//     node grpc.cjs FOLDER chat ADDRESS AUTHORITY             both talk in turns; prints what came of it
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

// Each word is said only when the one before has come back.
function chatted(client) {
  const got = [];
  const call = client.makeBidiStreamRequest(path("Chat"), write, read);
  const words = ["one", "two", "three", "four"];
  const next = () => words.length > 0 ? call.write(words.shift()) : call.end();
  call.on("data", (answer) => {
    got.push(answer);
    next();
  });
  next();
  return ended(call, got);
}

// ---- the origin ----

function serve() {
  let isBroken = false;
  const told = (line) => process.stdout.write(`${line}\n`);
  const broken = () => {
    const metadata = new grpc.Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from([0, 1, 2]));
    return {code: grpc.status.INTERNAL, details: "it broke", metadata};
  };
  const left = (call, name) => call.on("cancelled", () => told(name));
  const methods = {
    Add(call, done) {
      const trailers = new grpc.Metadata();
      trailers.set("x-cost", "3");
      isBroken ? done(broken()) : done(null, `${call.request} ${call.metadata.get("x-asked")}`, trailers);
    },
    List(call) {
      ["1", "2", "3"].forEach((answer) => call.write(answer));
      call.end();
    },
    Fill(call, done) {
      const got = [];
      call.on("data", (word) => got.push(word));
      call.on("end", () => done(null, got.join(" ")));
    },
    Chat(call) {
      call.on("data", (word) => call.write(word));
      call.on("end", () => call.end());
    },
    Fail: (call, done) => done(broken()),
    None: (call, done) => done({code: grpc.status.NOT_FOUND, details: "no"}),
    Slow: (call) => left(call, "Slow"),
    Forever(call) {
      left(call, "Forever");
      call.write("1");
    },
  };
  const shapes = {List: [false, true], Forever: [false, true], Fill: [true, false], Chat: [true, true]};
  const service = Object.fromEntries(Object.keys(methods).map((name) => {
    const [requestStream, responseStream] = shapes[name] ?? [false, false];
    return [name, {path: path(name), requestStream, responseStream, requestSerialize: write, requestDeserialize: read,
      responseSerialize: write, responseDeserialize: read}];
  }));
  const server = new grpc.Server();
  server.addService(service, methods);
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => told(port));
  require("node:readline").createInterface({input: process.stdin})
    .on("line", (line) => { isBroken = line === "fail"; told(line); })
    .on("close", () => process.exit(0));
}

async function main() {
  if (verb === "serve") {
    serve();
    return;
  }
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {"grpc.default_authority": authority});
  const seen = await (verb === "talk" ? talk(client) : verb === "chat" ? chatted(client) : unary(client, method));
  client.close();
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
