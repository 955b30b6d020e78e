'use strict';
const tls = require('tls');
const { ENDS, EVENTS, identity, pair, serve, trusting } = require('./papers');

exports.the_handshake = (stage) => pair(stage, (client, conn) => {
  const state = (one) => [one.encrypted, one.authorized, one.authorizationError, one.alpnProtocol, one.servername, one.secureConnecting];
  const states = (one) => [one.getProtocol(), one.getCipher().name, one.getCipher().version, one.isSessionReused(), one.readyState];
  stage.say('client', 'state', state(client), states(client), client.getPeerCertificate().subjectaltname);
  stage.say('conn', 'state', state(conn), states(conn), conn.getPeerCertificate());
  client.resume();
  conn.resume();
  client.on('close', () => stage.say('client', 'state', state(client), client.getPeerCertificate(), client.getProtocol()));
  client.end();
});

exports.the_handshake_of_version_1_2 = (stage) => pair(stage, (client, conn) => {
  stage.say('client', 'state', client.getProtocol(), client.getCipher().version);
  stage.say('conn', 'state', conn.getProtocol());
  client.resume();
  conn.resume();
  client.end();
}, {}, { maxVersion: 'TLSv1.2' });

exports.secure_comes_last = (stage) => {
  const server = serve(stage, {}, (conn) => { conn.on('secure', stage.noting('conn', 'secure')); conn.resume(); server.close(); }, (where) => {
    const client = stage.watch('client', tls.connect({ ...where, ...trusting(stage) }), 'connect', 'ready', 'secure', 'secureConnect', 'end', 'close');
    stage.say('client', 'state', client.connecting, client.secureConnecting, client.pending, client.readyState);
    client.on('connect', () => stage.say('client', 'state', client.connecting, client.secureConnecting, client.authorized));
    client.on('secureConnect', () => client.end());
  });
};

exports.the_peer_ends = (stage) => pair(stage, (client, conn) => { client.resume(); conn.resume(); conn.end(); });

exports.both_end = (stage) => pair(stage, (client, conn) => {
  client.on('data', stage.noting('client hears', 'data'));
  conn.on('data', stage.noting('conn hears', 'data'));
  client.end('from the client');
  conn.end('from the server');
});

exports.half_open = (stage) => pair(stage, (client, conn) => {
  client.on('data', stage.noting('client', 'data'));
  conn.on('data', stage.noting('conn', 'data'));
  conn.on('end', () => stage.soon(() => { stage.say('conn', 'writable', conn.writable, conn.readyState); conn.end('late'); }));
  client.end('first');
  client.on('finish', () => stage.say('client', 'state', client.readyState));
}, { allowHalfOpen: true }, { allowHalfOpen: true });

exports.destroyed = (stage) => pair(stage, (client, conn) => {
  client.resume();
  conn.resume();
  conn.removeAllListeners('error').on('error', () => {});
  client.destroy();
  stage.say('client', 'state', client.destroyed, client.writable, client.readable, client.readyState);
});

exports.destroyed_by_an_error = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.resume();
  client.destroy(new Error('mine'));
});

exports.destroyed_in_data = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.on('data', (data) => { stage.say('client', 'data', data); client.destroy(); });
  conn.end('hello');
});

exports.destroyed_in_connect = (stage) => {
  const server = serve(stage, {}, () => stage.say('server', 'unexpected'), (where) => {
    const client = stage.watch('client', tls.connect({ ...where, ...trusting(stage) }), ...EVENTS);
    client.on('connect', () => client.destroy());
    server.on('tlsClientError', () => server.close());
  });
};

exports.destroyed_at_once = (stage) => {
  const server = serve(stage, {}, () => stage.say('server', 'unexpected'), (where) => {
    const client = stage.watch('client', tls.connect({ ...where, ...trusting(stage) }), ...EVENTS);
    client.destroy();
    client.on('close', () => server.close());
  });
};

exports.destroyed_in_secure_connect = (stage) => {
  const server = tls.createServer(identity(stage), (conn) => conn.on('error', () => {}).resume());
  server.on('connection', () => server.close()).listen(0, '127.0.0.1', () => {
    const client = stage.watch('client', tls.connect({ port: server.address().port, ...trusting(stage) }, () => client.destroy()), ...EVENTS);
  });
};

exports.destroyed_in_secure_connection = (stage) => {
  const server = serve(stage, {}, (conn) => { stage.watch('conn', conn, ...ENDS); conn.destroy(); server.close(); }, (where) => {
    const client = tls.connect({ ...where, ...trusting(stage) });
    client.on('error', () => {}).on('close', () => stage.say('client', 'closed')).resume();
  });
};

exports.written_before = (stage) => {
  const server = serve(stage, {}, (conn) => {
    stage.watch('conn', conn, ...ENDS).on('data', stage.noting('conn', 'data'));
    server.close();
  }, (where) => {
    const client = stage.watch('client', tls.connect({ ...where, ...trusting(stage) }), 'connect', 'secureConnect', 'finish', 'end', 'close');
    stage.say('client', 'write', client.write('a', stage.done('client calls', 'written a')));
    client.write('b', stage.done('client calls', 'written b'));
    client.end('c', stage.done('client calls', 'ended'));
    client.resume();
  });
};

exports.written_in_secure_connect = (stage) => pair(stage, (client, conn) => {
  conn.on('data', (data) => { stage.say('conn', 'data', data); conn.end(data); });
  client.on('data', stage.noting('client', 'data'));
  stage.say('client', 'write', client.write('hello', stage.done('client', 'written')));
  stage.say('client', 'bytes', client.bytesWritten, client.bytesRead);
  client.on('close', () => stage.say('client', 'bytes', client.bytesWritten, client.bytesRead));
});

exports.written_after_end = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.resume();
  client.removeAllListeners('close').removeAllListeners('end').removeAllListeners('finish').end('x');
  stage.say('client', 'write', client.write('y', stage.done('client', 'written')));
});

exports.encoded = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.setEncoding('utf8');
  client.on('data', stage.noting('client', 'data'));
  conn.write(Buffer.from([0xc3]));
  stage.after(20, () => conn.end(Buffer.from([0xa9])));
});

exports.much_to_send = (stage) => pair(stage, (client, conn) => {
  let size = 0;
  conn.on('data', (data) => { size += data.length; });
  conn.on('end', () => stage.say('conn', 'size', size));
  stage.say('client', 'write', client.write(stage.much, stage.done('client', 'written')));
  client.on('drain', () => client.end(stage.done('client', 'ended')));
  client.resume();
});

exports.paused = (stage) => pair(stage, (client, conn) => {
  let size = 0;
  client.pause();
  client.on('data', (data) => { size += data.length; });
  client.on('end', () => stage.say('client', 'size', size));
  conn.resume();
  conn.write(stage.much, stage.done('conn', 'written'));
  conn.end();
  stage.after(50, () => { stage.say('client', 'still', size, client.isPaused(), conn.writableLength > 0); client.resume(); });
});

exports.paused_on_connect = (stage) => {
  const server = serve(stage, { pauseOnConnect: true }, (conn) => {
    stage.watch('conn', conn, ...ENDS).on('data', stage.noting('conn', 'data'));
    stage.say('conn', 'paused', conn.isPaused());
    server.close();
    stage.after(30, () => { stage.say('conn', 'resumes'); conn.resume(); });
  }, (where) => tls.connect({ ...where, ...trusting(stage) }).end('hello').resume());
};

exports.cut_off = (stage) => pair(stage, (client, conn, raw) => {
  client.on('data', stage.noting('client', 'data'));
  conn.write('hello', () => raw.destroy()); // no close_notify
});

exports.reset = (stage) => pair(stage, (client, conn, raw) => {
  client.resume();
  raw.resetAndDestroy();
});

exports.timeout = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.resume();
  client.setTimeout(20, () => {
    stage.say('client', 'callback', client.timeout);
    client.setTimeout(0);
    client.end();
  });
});

exports.timeout_by_option = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.resume();
  stage.say('client', 'timeout', client.timeout);
  client.end();
}, {}, { timeout: 5000 });

exports.refused = (stage) => {
  const server = serve(stage, {}, () => {}, (where) => server.close(() => {
    stage.watch('client', tls.connect({ ...where, ...trusting(stage) }), 'connect', 'secureConnect', 'error', 'close');
  }));
};

exports.piped = (stage) => pair(stage, (client, conn) => {
  conn.pipe(conn);
  client.on('data', stage.noting('client', 'data'));
  client.end('hello');
});

exports.forms_of_connect = (stage) => {
  let left = 3;
  const server = serve(stage, {}, (conn) => { conn.end('hello'); conn.resume(); if (--left === 0) server.close(); }, ({ port, host }) => {
    const more = trusting(stage);
    tls.connect(port, host, more, stage.noting('first', 'secureConnect')).resume();
    tls.connect(port, { host, ...more }, stage.noting('second', 'secureConnect')).resume();
    tls.connect({ port, host, ...more }, stage.noting('third', 'secureConnect')).resume();
  });
};

exports.renegotiated = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.resume();
  stage.attempt('client', 'renegotiate', () => client.renegotiate({}, (error) => { stage.say('client', 'callback', error instanceof Error); client.end(); }));
});

exports.server_name_from_a_server = (stage) => pair(stage, (client, conn) => {
  conn.resume();
  client.resume();
  stage.attempt('conn', 'setServername', () => conn.setServername('x'));
  client.end();
});
