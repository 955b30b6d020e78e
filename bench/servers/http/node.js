// Node's own http module.
const http = require("node:http");

const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end("Hello, world!");
});
server.keepAliveTimeout = 75000;
const host = process.env.BENCH_HOST || "127.0.0.1";
server.listen({ port: 0, host, backlog: 4096 }, () => console.log("ready", server.address().port));
