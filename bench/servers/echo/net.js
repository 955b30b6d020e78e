// Node: its module net. A full socket pauses the reading side, as Node's own pipe() does it.
const net = require("node:net");

const server = net.createServer({ noDelay: true, allowHalfOpen: false }, (socket) => {
  socket.on("data", (data) => {
    if (!socket.write(data)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", () => {}); // a client may reset
});
const host = process.env.BENCH_HOST || "127.0.0.1";
server.listen({ port: 0, host, backlog: 4096 }, () => console.log("ready", server.address().port));
