// Node with ws: `send` to each client, as its manual shows.
"use strict";

const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { createInterface } = require("node:readline");
const { WebSocketServer } = require("ws");

const answer = readFileSync(process.argv[2]);
const text = { binary: false };
const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });

server.on("connection", (socket) => socket.on("message", () => socket.send(answer, text)));

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(`ready ${http.address().port}`));

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const payload = Buffer.from(line);
    for (const client of server.clients) client.send(payload, text);
  })
  .on("close", () => process.exit(0));
