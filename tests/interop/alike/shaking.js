'use strict';
const net = require('net');
const tls = require('tls');
const { ENDS, EVENTS, dial, identity, pair, serve, trusting } = require('./papers');

// A plain client that does something with a server of TLS.
const stranger = (stage, act, ofServer = {}) => {
  const server = serve(stage, ofServer, () => stage.say('server', 'unexpected'), (where) => {
    const client = stage.watch('client', net.connect(where), 'end', 'close');
    client.on('error', () => {});
    client.on('connect', () => act(client)).resume().on('close', () => server.close());
  });
  return server;
};

// A client of TLS and a plain server that does something.
const strange_server = (stage, act) => {
  const server = net.createServer((conn) => { conn.on('error', () => {}); act(conn); });
  server.listen(0, '127.0.0.1', () => {
    stage.known(server.address().port, 'PORT');
    const client = dial(stage, { port: server.address().port, host: '127.0.0.1' }, {}, 'connect', 'ready', 'secureConnect', 'finish', 'timeout', 'error', 'close');
    client.on('connect', () => client.setTimeout(500)).on('timeout', () => client.destroy()).on('close', () => server.close());
  });
};

exports.plain_http = (stage) => stranger(stage, (client) => client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
exports.plain_nonsense = (stage) => stranger(stage, (client) => client.write('nonsense nonsense nonsense'));
exports.a_client_that_leaves = (stage) => stranger(stage, (client) => client.end());
exports.a_client_that_leaves_in_the_middle = (stage) => stranger(stage, (client) => client.end(Buffer.from([22, 3, 1, 2, 0, 1])));
exports.a_client_that_resets = (stage) => stranger(stage, (client) => stage.after(30, () => client.resetAndDestroy()));
exports.a_client_that_is_silent = (stage) => {
  const server = stranger(stage, () => {}, { handshakeTimeout: 50 });
  server.on('tlsClientError', (_, conn) => conn.destroy());
};
exports.a_server_that_leaves = (stage) => strange_server(stage, (conn) => conn.end());
exports.a_server_that_leaves_in_the_middle = (stage) => strange_server(stage, (conn) => conn.once('data', () => conn.end(Buffer.from([22, 3, 3, 0, 99, 2]))));
exports.a_server_that_resets = (stage) => strange_server(stage, (conn) => conn.once('data', () => conn.resetAndDestroy()));
exports.a_server_without_tls = (stage) => strange_server(stage, (conn) => conn.end('220 hello, this is a mail server\r\n'));
exports.a_server_that_is_silent = (stage) => strange_server(stage, (conn) => { conn.on('close', () => stage.say('conn', 'closed')).resume(); });

exports.no_common_version = (stage) => {
  const server = serve(stage, { minVersion: 'TLSv1.3' }, () => stage.say('server', 'unexpected'), (where) => {
    const client = dial(stage, where, { maxVersion: 'TLSv1.2' }, 'connect', 'secureConnect', 'error', 'close');
    client.on('close', () => server.close());
  });
};

exports.ended_before_the_handshake = (stage) => {
  const server = serve(stage, {}, (conn) => { conn.on('error', () => {}).on('end', () => stage.say('conn', 'end')).resume(); }, (where) => {
    const client = dial(stage, where, {}, ...EVENTS);
    client.end().resume().on('close', () => server.close());
  });
};

const resume = (stage, version) => {
  const all = trusting(stage);
  const secureContext = tls.createSecureContext({ ca: all.ca, maxVersion: version });
  const server = serve(stage, {}, (conn) => { conn.end('hello'); conn.resume(); }, (where) => {
    const first = tls.connect({ ...where, ...all, secureContext });
    let session;
    first.on('session', (made) => { session = made; });
    first.on('secureConnect', () => stage.say('first', 'reused', first.isSessionReused()));
    first.resume().on('close', () => {
      stage.say('first', 'session', session !== undefined);
      const second = tls.connect({ ...where, ...all, secureContext, session });
      second.on('secureConnect', () => stage.say('second', 'reused', second.isSessionReused(), second.authorized));
      second.resume().on('close', () => server.close());
    });
  });
};
exports.resumed = (stage) => resume(stage, 'TLSv1.3');
exports.resumed_in_version_1_2 = (stage) => resume(stage, 'TLSv1.2');

exports.keys_are_told = (stage) => {
  const told = (who) => (line, conn) => stage.say(who, 'key', /^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]+\n$/.test(line.toString()), conn === undefined);
  const server = serve(stage, {}, (conn) => { stage.say('server', 'secure'); conn.resume(); server.close(); }, (where) => {
    const client = dial(stage, where, {}, 'secureConnect', 'close');
    client.on('keylog', told('client')).on('secureConnect', () => client.end()).resume();
  });
  server.on('keylog', told('server'));
};

const over = (stage, make) => {
  const server = serve(stage, {}, (conn) => { stage.watch('conn', conn, ...ENDS).on('data', (data) => conn.end(data)); server.close(); }, (where) => {
    const below = make(where);
    stage.watch('below', below, 'connect', 'data', 'end', 'finish', 'error', 'close');
    const go = () => {
      const client = stage.watch('client', tls.connect({ socket: below, ...trusting(stage) }), ...EVENTS).on('data', stage.noting('client', 'data'));
      stage.say('client', 'connecting', client.connecting);
      client.on('secureConnect', () => { stage.say('client', 'where', client.remotePort, client.authorized); client.write('hello'); });
    };
    if (below.connecting && make.length > 1) below.once('connect', go); else go();
  });
};
exports.over_a_socket_that_connects = (stage) => over(stage, (where) => net.connect(where));
exports.over_a_connected_socket = (stage) => over(stage, (where, _) => net.connect(where));
exports.over_a_socket_that_is_refused = (stage) => {
  const server = serve(stage, {}, () => {}, (where) => server.close(() => {
    const below = stage.watch('below', net.connect(where), 'error', 'close');
    stage.watch('client', tls.connect({ socket: below, ...trusting(stage) }), 'connect', 'secureConnect', 'error', 'close');
  }));
};
exports.over_a_socket_that_is_destroyed = (stage) => pair(stage, (client, conn, raw) => {
  client.resume();
  conn.resume();
  stage.watch('raw', raw, 'end', 'error', 'close');
  raw.destroy();
});

exports.begun_by_a_command = (stage) => {
  const server = net.createServer((raw) => {
    stage.watch('raw', raw, 'end', 'error', 'close');
    raw.once('data', (data) => {
      stage.say('raw', 'data', data);
      raw.write('go ahead');
      const conn = stage.watch('conn', new tls.TLSSocket(raw, { isServer: true, ...identity(stage) }), 'secure', ...ENDS);
      conn.on('data', (more) => { stage.say('conn', 'data', more); conn.end('bye'); });
      server.close();
    });
  });
  server.listen(0, '127.0.0.1', () => {
    const below = net.connect(server.address().port, '127.0.0.1');
    below.write('begin');
    below.once('data', (data) => {
      stage.say('below', 'data', data);
      const client = stage.watch('client', tls.connect({ socket: below, ...trusting(stage) }, () => client.write('hello')), ...EVENTS);
      client.on('data', stage.noting('client', 'data'));
    });
  });
};

exports.a_connection_from_elsewhere = (stage) => {
  const secure = tls.createServer(identity(stage), (conn) => { stage.say('conn', 'protocol', conn.getProtocol()); conn.end('hello'); });
  const server = net.createServer((raw) => { secure.emit('connection', raw); server.close(); });
  server.listen(0, '127.0.0.1', () => {
    const client = dial(stage, { port: server.address().port, host: '127.0.0.1' }, {}, ...EVENTS);
    client.on('data', stage.noting('client', 'data'));
  });
};

exports.tls_in_tls = (stage) => {
  const inner = tls.createServer(identity(stage), (conn) => { stage.watch('conn', conn, ...ENDS).on('data', (data) => conn.end(data)); });
  const server = serve(stage, {}, (outer) => { inner.emit('connection', outer); server.close(); }, (where) => {
    const outer = tls.connect({ ...where, ...trusting(stage) }, () => {
      const client = stage.watch('client', tls.connect({ socket: outer, ...trusting(stage) }), ...EVENTS);
      client.on('data', stage.noting('client', 'data')).on('secureConnect', () => client.write('hello'));
    });
  });
};
