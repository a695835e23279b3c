// websocket.cjs - WebSockets as npm's `ws` speaks them, for plays.
//
//     node websocket.cjs FOLDER serve        an origin that echoes; prints its port; lives until its standard input ends
//     node websocket.cjs FOLDER talk URL     a client; prints what came of it as JSON
//
// FOLDER/node_modules has ws.

const {createRequire} = require("node:module");
const {join, resolve} = require("node:path");

const [folder, verb, url] = process.argv.slice(2);
const WebSocket = createRequire(join(resolve(folder), "package.json"))("ws");

const BIG = 3 * 1024 * 1024;

function serve() {
  const server = new WebSocket.WebSocketServer({host: "127.0.0.1", port: 0, perMessageDeflate: true,
    handleProtocols: (offered) => offered.has("chat") ? "chat" : false});
  server.on("connection", (socket, request) => {
    socket.on("message", (data, isBinary) => {
      if (!isBinary && data.toString() === "who asks?") {
        socket.send(JSON.stringify({via: request.headers.via, url: request.url}));
      } else if (!isBinary && data.toString() === "go away") {
        socket.close(4001, "as you wish");
      } else {
        socket.send(data, {binary: isBinary});
      }
    });
  });
  server.on("listening", () => process.stdout.write(`${server.address().port}\n`));
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function talk() {
  const socket = new WebSocket(url, ["chat"], {perMessageDeflate: true});
  const next = (name) => new Promise((done, fail) => {
    socket.once(name, (...values) => done(values));
    socket.once("error", fail);
  });
  const seen = {};
  await next("open");
  seen.protocol = socket.protocol;
  seen.extensions = socket.extensions;
  const ask = async (data) => {
    const answer = next("message");
    socket.send(data);
    return (await answer)[0];
  };
  seen.text = (await ask("g\u00fcnther")).toString();
  seen.asked = JSON.parse(await ask("who asks?"));
  const big = require("node:crypto").randomBytes(BIG);
  seen.big = big.equals(await ask(big));
  const pong = next("pong");
  socket.ping("are you there?");
  seen.pong = (await pong)[0].toString();
  const fragments = next("message");
  socket.send("one ", {fin: false});
  socket.send("message", {fin: true});
  seen.fragments = (await fragments)[0].toString();
  const close = next("close");
  socket.send("go away");
  const [code, reason] = await close;
  seen.close = [code, reason.toString()];
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

if (verb === "serve") {
  serve();
} else {
  talk().catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
}
