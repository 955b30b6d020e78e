'use strict';
// What the scenarios of TLS share: certificates, a server, a client, and a pair of them.
const fs = require('fs');
const path = require('path');
const tls = require('tls');
const ENDS = ['end', 'finish', 'drain', 'timeout', 'error', 'close'];
const EVENTS = ['connect', 'ready', 'secureConnect', ...ENDS];

const pem = (stage, name) => fs.readFileSync(path.join(stage.directory, `${name}.pem`));
const identity = (stage, name = 'localhost') => ({ key: pem(stage, name), cert: pem(stage, name) });
const trusting = (stage) => ({ ca: pem(stage, 'ca'), servername: 'localhost' });
const dial = (stage, where, options, ...events) => stage.watch('client', tls.connect({ ...where, ...trusting(stage), ...options }), ...events);

// A server that listens and a function that says where.
const serve = (stage, options, connection, then) => {
  const server = tls.createServer({ ...identity(stage), ...options }, connection);
  stage.watch('server', server, 'tlsClientError');
  server.listen(0, '127.0.0.1', () => {
    stage.known(server.address().port, 'PORT');
    then({ port: server.address().port, host: '127.0.0.1' }, server);
  });
  return server;
};

// Connects a client to a server, watches both, and calls act(client, conn, raw) when both have made the handshake.
const pair = (stage, act, ofServer = {}, ofClient = {}) => {
  let conn, client, raw;
  const both = () => { if (conn && client) act(client, conn, raw); };
  const server = serve(stage, ofServer, (made) => {
    conn = stage.watch('conn', made, ...ENDS);
    server.close();
    both();
  }, (where) => {
    const made = dial(stage, where, ofClient, ...EVENTS);
    made.on('secureConnect', () => { client = made; both(); });
  });
  server.on('connection', (made) => { raw = made; });
};

module.exports = { ENDS, EVENTS, dial, identity, pair, pem, serve, trusting };
