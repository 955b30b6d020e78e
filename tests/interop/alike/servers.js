'use strict';
const fs = require('fs');
const path = require('path');
const WATCHED = ['listening', 'connection', 'drop', 'error', 'close'];
const fresh = (stage, net, ...args) => stage.watch('server', net.createServer(...args), ...WATCHED);
const free = (stage, then) => { const other = stage.serve({}, () => {}, (port) => then(port, other)); };

exports.listening = (stage, net) => {
  const server = fresh(stage, net);
  stage.say('server', 'state', server.listening, server.address());
  server.listen(0, '127.0.0.1', () => { stage.say('server', 'callback'); server.close(stage.done('server', 'closed')); stage.say('server', 'state', server.listening, server.address()); });
  stage.say('server', 'listening?', server.listening);
};

exports.closed_before_listening = (stage, net) => {
  const server = fresh(stage, net);
  server.listen(0, '127.0.0.1', stage.noting('server', 'callback'));
  server.close(stage.done('server', 'closed'));
  stage.say('server', 'state', server.listening, server.address());
};

exports.closed_without_listening = (stage, net) => {
  const server = fresh(stage, net);
  stage.attempt('server', 'close', () => server.close(stage.done('server', 'closed')));
};

exports.closed_twice = (stage, net) => {
  const server = fresh(stage, net);
  server.listen(0, '127.0.0.1', () => {
    server.close(stage.done('server', 'first'));
    server.close(stage.done('server', 'second'));
  });
};

exports.closed_once_more_when_closed = (stage, net) => {
  const server = fresh(stage, net);
  server.listen(0, '127.0.0.1', () => server.close());
  server.once('close', () => server.close(stage.done('server', 'again')));
};

exports.closed_with_connections = (stage, net) => {
  const server = stage.watch('server', net.createServer((conn) => {
    stage.watch('conn', conn, 'end', 'close').resume();
    server.close(stage.done('server', 'closed'));
    stage.say('server', 'state', server.listening, server.address());
    stage.after(20, () => { stage.say('server', 'now'); client.end(); });
  }), 'close');
  let client;
  server.listen(0, '127.0.0.1', () => { client = net.connect(server.address().port, '127.0.0.1').resume(); });
};

exports.closed_with_a_connection_that_nobody_reads = (stage, net) => {
  const server = stage.watch('server', net.createServer((conn) => { server.close(); conn.end(); }), 'close');
  server.listen(0, '127.0.0.1', () => net.connect(server.address().port, '127.0.0.1').resume());
};

exports.listening_again = (stage, net) => {
  const server = fresh(stage, net);
  server.listen(0, '127.0.0.1', () => server.close());
  server.once('close', () => server.listen(0, '127.0.0.1', () => server.close()));
};

exports.listening_twice = (stage, net) => {
  const server = fresh(stage, net);
  server.listen(0, '127.0.0.1');
  stage.attempt('server', 'again', () => server.listen(0, '127.0.0.1'));
  stage.after(20, () => { stage.attempt('server', 'again', () => server.listen(0, '127.0.0.1')); server.close(); });
};

exports.in_use = (stage, net) => free(stage, (port, other) => {
  const server = fresh(stage, net);
  server.listen(port, '127.0.0.1', stage.noting('server', 'callback'));
  stage.say('server', 'state', server.listening);
  server.on('error', () => { stage.say('server', 'state', server.listening, server.address()); other.close(); });
});

exports.in_use_and_again = (stage, net) => free(stage, (port, other) => {
  const server = fresh(stage, net);
  server.listen(port, '127.0.0.1');
  server.once('error', () => other.close(() => server.listen(port, '127.0.0.1', () => server.close())));
});

exports.in_use_and_closed = (stage, net) => free(stage, (port, other) => {
  const server = fresh(stage, net);
  server.listen(port, '127.0.0.1');
  server.on('error', () => { server.close(stage.done('server', 'closed')); other.close(); });
});

exports.in_use_and_closed_at_once = (stage, net) => free(stage, (port, other) => {
  const server = fresh(stage, net);
  server.listen(port, '127.0.0.1');
  server.close(stage.done('server', 'closed'));
  other.close();
});

exports.nobody_hears_an_error = (stage, net) => free(stage, (port, other) => {
  net.createServer().listen(port, '127.0.0.1');
  stage.after(20, () => other.close());
});

exports.an_address_of_somebody_else = (stage, net) => { fresh(stage, net).listen(0, '192.0.2.1'); };

exports.listen_wrongly = (stage, net) => {
  const server = fresh(stage, net);
  const given = [[-1], [65536], [1.5], ['65536'], [{}], [{ port: 'x y' }], [{ host: 'localhost' }], [{ port: NaN }], [{ backlog: 5 }]];
  given.forEach((args, n) => stage.attempt('server', `listen ${n}`, () => server.listen(...args)));
};

exports.no_descriptor = (stage, net) => { fresh(stage, net).listen({ fd: 999 }); };

exports.aborted_before = (stage, net) => {
  const control = new AbortController();
  control.abort();
  fresh(stage, net).listen({ port: 0, host: '127.0.0.1', signal: control.signal });
};

exports.aborted_later = (stage, net) => {
  const control = new AbortController();
  fresh(stage, net).listen({ port: 0, host: '127.0.0.1', signal: control.signal }, () => control.abort());
};

exports.aborted_at_once = (stage, net) => {
  const control = new AbortController();
  fresh(stage, net).listen({ port: 0, host: '127.0.0.1', signal: control.signal }, stage.noting('server', 'callback'));
  control.abort();
};

exports.a_signal_that_is_none = (stage, net) => {
  stage.attempt('server', 'listen', () => net.createServer().listen({ port: 0, host: '127.0.0.1', signal: 5 }));
  stage.attempt('client', 'make', () => new net.Socket({ signal: 5 }));
};

exports.at_most_one = (stage, net) => {
  let first, second;
  const server = stage.watch('server', net.createServer((conn) => conn.resume()), 'listening', 'error', 'close');
  server.maxConnections = 1;
  server.on('drop', (data) => {
    stage.say('server', 'drop', data.localAddress, data.localFamily, data.remoteAddress, data.remoteFamily, data.localPort);
    server.getConnections(stage.noting('server', 'count'));
    stage.after(20, () => { first.destroy(); server.close(); });
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    stage.known(port, 'PORT');
    first = net.connect(port, '127.0.0.1').resume();
    first.on('connect', () => stage.after(10, () => { second = stage.dial('second', { port, host: '127.0.0.1' }, 'connect', 'end', 'error', 'close').resume(); }));
  });
};

exports.counted = (stage, net) => {
  const server = stage.watch('server', net.createServer((conn) => {
    server.getConnections(stage.noting('server', 'count'));
    conn.resume();
    conn.on('close', () => { server.getConnections(stage.noting('server', 'count')); server.close(); });
  }), 'close');
  server.listen(0, '127.0.0.1', () => net.connect(server.address().port, '127.0.0.1').resume().end());
};

exports.a_path = (stage, net) => {
  const name = path.join(stage.directory, 'socket');
  stage.known(name, 'PATH');
  const server = fresh(stage, net, (conn) => { stage.watch('conn', conn, 'data', 'end', 'close'); stage.say('conn', 'names', conn.remoteAddress, conn.remotePort, conn.address()); server.close(); });
  server.listen(name, () => {
    stage.say('server', 'address', server.address());
    const client = net.connect(name, () => { stage.say('client', 'names', client.remoteAddress, client.localPort, client.address()); client.end('hello'); });
    client.resume();
  });
  server.on('close', () => stage.say('server', 'there', fs.existsSync(name)));
};

exports.a_path_in_use = (stage, net) => {
  const name = path.join(stage.directory, 'socket');
  stage.known(name, 'PATH');
  const other = net.createServer().listen(name, () => { fresh(stage, net).listen(name).on('error', () => other.close()); });
};

exports.a_path_that_nobody_listens_at = (stage, net) => {
  const name = path.join(stage.directory, 'file');
  fs.writeFileSync(name, '');
  stage.known(name, 'PATH');
  fresh(stage, net).listen(name);
};

exports.a_path_nowhere = (stage, net) => { fresh(stage, net).listen('/nowhere/at/all'); };

exports.a_path_with_rights = (stage, net) => {
  const name = path.join(stage.directory, 'socket');
  const server = fresh(stage, net).listen({ path: name, readableAll: true, writableAll: true }, () => {
    stage.say('server', 'mode', fs.statSync(name).mode & 0o666);
    server.close();
  });
};

exports.unrefd = (stage, net) => { fresh(stage, net).unref().listen(0, '127.0.0.1'); };

exports.unrefd_later = (stage, net) => { const server = fresh(stage, net).listen(0, '127.0.0.1', () => server.unref()); };

exports.options_of_the_connections = (stage, net) => {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, highWaterMark: 7, noDelay: true, keepAlive: true }, (conn) => {
    stage.say('conn', 'options', conn.allowHalfOpen, conn.isPaused(), conn.readableHighWaterMark, conn.writableHighWaterMark);
    conn.destroy();
    server.close();
  }).listen(0, '127.0.0.1', () => net.connect(server.address().port, '127.0.0.1').resume().on('error', () => {}));
};

exports.raised_in_connection = (stage, net) => {
  const server = net.createServer((conn) => { conn.resume(); server.close(); throw new Error('oops'); });
  server.on('connection', () => stage.say('server', 'second listener'));
  server.listen(0, '127.0.0.1', () => {
    const client = stage.watch('client', net.connect(server.address().port, '127.0.0.1'), 'connect', 'end', 'error', 'close').resume();
    stage.after(30, () => client.end());
  });
};

exports.raised_in_data = (stage, net) => stage.serve({}, (conn) => {
  stage.watch('conn', conn, 'error', 'end', 'close');
  conn.on('data', () => { throw new Error('oops'); });
  conn.on('data', stage.noting('conn', 'second listener'));
}, (port, server) => { net.connect(port, '127.0.0.1').resume().end('hello'); stage.after(30, () => server.close()); });

exports.raised_in_close = (stage, net) => stage.serve({}, (conn) => {
  conn.on('close', () => { throw new Error('oops'); });
  conn.on('close', stage.noting('conn', 'second listener'));
  conn.resume();
}, (port, server) => { net.connect(port, '127.0.0.1').resume().end('hello'); stage.after(30, () => server.close()); });

exports.rejected_in_data = (stage, net) => stage.serve({}, (conn) => {
  stage.watch('conn', conn, 'error', 'end', 'close');
  conn.on('data', async () => { throw new Error('oops'); });
}, (port, server) => { net.connect(port, '127.0.0.1').resume().end('hello'); stage.after(30, () => server.close()); });

exports.emitters = (stage, net) => {
  const server = net.createServer();
  const told = (what) => () => stage.say('server', what);
  const once = told('once');
  server.on('x', told('on'));
  server.once('x', once);
  server.prependListener('x', told('first'));
  server.prependOnceListener('x', told('very first'));
  stage.say('server', 'names', server.eventNames().filter((name) => name === 'x'), server.listenerCount('x'));
  stage.say('server', 'emit', server.emit('x'));
  stage.say('server', 'emit', server.emit('x'));
  server.off('x', once);
  server.removeAllListeners('x');
  stage.say('server', 'emit', server.emit('x'), server.listenerCount('x'));
  stage.attempt('server', 'error', () => server.emit('error', new Error('mine')));
};

exports.a_listener_that_is_removed_while_it_is_told = (stage, net) => {
  const server = net.createServer();
  const second = () => stage.say('server', 'second');
  server.on('x', () => { stage.say('server', 'first'); server.removeListener('x', second); server.on('x', () => stage.say('server', 'third')); });
  server.on('x', second);
  server.emit('x');
  server.emit('x');
};
