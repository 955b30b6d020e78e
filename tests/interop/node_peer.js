// The peers in Node that the tests need: `node node_peer.js ROLE WHERE [SIZE]`. WHERE is a port or a path.
// With PAPERS, a folder of certificates, in the environment they use TLS, up to TLS_VERSION.
'use strict';
const net = process.env.PAPERS ? secured(process.env.PAPERS, process.env.TLS_VERSION) : require('net');
const crypto = require('crypto');

const [role, where, amount] = process.argv.slice(2);
const place = /^\d+$/.test(where) ? { port: +where, host: '127.0.0.1' } : { path: where };
const size = +amount;
const fail = (error) => { console.error(error); process.exit(1); };
const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');
const pattern = (n) => Buffer.alloc(n, 'a pattern in which nothing can be moved unnoticed: 0123456789 ');

function secured(papers, maxVersion) {
  const tls = require('tls');
  const read = (name) => require('fs').readFileSync(`${papers}/${name}.pem`);
  const own = { key: read('localhost'), cert: read('localhost'), maxVersion };
  const trusted = { ca: read('ca'), servername: 'localhost', maxVersion };
  return {
    createServer: (options, listener) => tls.createServer({ ...own, ...options }, listener),
    connect: (options, listener) => tls.connect({ ...trusted, ...options }, listener),
  };
}

function serve(options, listener) {
  const server = net.createServer(options, listener).listen(place, () => {
    const address = server.address();
    console.log(`listening on ${address.address || address}:${address.port || 0}`);
  });
  return server;
}

function collect(socket, done) {
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  socket.on('end', () => done(Buffer.concat(parts)));
}

const roles = {
  // Servers. They end when they have received everything that they wait for.
  echo() { serve({ allowHalfOpen: true }, (socket) => socket.pipe(socket)); },
  hash() { serve({ allowHalfOpen: true }, (socket) => collect(socket, (data) => socket.end(sha(data)))); },
  give() { serve({}, (socket) => { socket.resume(); socket.end(pattern(size)); }); },
  slow() {
    serve({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      setTimeout(() => {
        collect(socket, (data) => socket.end(sha(data)));
        socket.resume();
      }, 50);
    });
  },
  reset() { serve({}, (socket) => socket.once('data', () => socket.resetAndDestroy())); },
  silent() {
    serve({}, (socket) => {
      socket.resume();
      socket.setTimeout(50, () => socket.end('timeout'));
    });
  },

  // Clients. They print one line and end.
  ask() {
    const socket = net.connect(place, () => socket.end(pattern(size)));
    collect(socket, (data) => console.log(sha(data)));
    socket.on('error', fail);
  },
  take() {
    const socket = net.connect({ ...place, allowHalfOpen: true });
    socket.on('error', fail);
    collect(socket, (data) => { console.log(sha(data)); socket.end('thank you'); });
  },
  pause() {
    const socket = net.connect(place);
    const hash = crypto.createHash('sha256');
    socket.on('data', (part) => {
      hash.update(part);
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.on('end', () => console.log(hash.digest('hex')));
    socket.on('error', fail);
  },
  wait() {
    const socket = net.connect(place);
    collect(socket, (data) => console.log(data.toString()));
    socket.on('error', fail);
  },
  many() {
    let left = size;
    for (let n = 0; n < size; n++) {
      const socket = net.connect(place, () => socket.end(`client ${n}`));
      collect(socket, (data) => {
        if (data.toString() !== `client ${n}`) fail(new Error(`client ${n} got ${data}`));
        if (--left === 0) console.log('all');
      });
      socket.on('error', fail);
    }
  },
};

roles[role]();
