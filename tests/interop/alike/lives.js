'use strict';
const ALL = ['connect', 'ready', 'data', 'end', 'finish', 'drain', 'timeout', 'error', 'close'];

exports.destroyed_soon_before_it_is_connected = (stage, net) => {
  const server = stage.serve({}, (conn) => { stage.watch('conn', conn, 'data', 'end', 'close'); server.close(); }, (port) => {
    const client = stage.dial('client', { port, host: '127.0.0.1' }, ...ALL);
    client.write('hello', stage.done('client', 'written'));
    client.destroySoon();
    stage.say('client', 'state', client.destroyed, client.writableEnded);
  });
};

exports.encoded_late = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end('h\u00e9llo'); conn.resume(); server.close(); }, (port) => {
    const client = stage.watch('client', new net.Socket(), 'end', 'close');
    client.connect(port, '127.0.0.1');
    stage.after(20, () => { client.setEncoding('utf8'); client.on('data', stage.noting('client', 'data')); });
  });
};

exports.destroyed_in_connection = (stage, net) => {
  const server = stage.watch('server', net.createServer((conn) => { stage.watch('conn', conn, 'end', 'close'); conn.destroy(); server.close(); }), 'close');
  server.listen(0, '127.0.0.1', () => { stage.watch('client', net.connect(server.address().port, '127.0.0.1'), 'end', 'error', 'close').resume(); });
};

exports.half_open_and_much_to_send = (stage, net) => {
  let size = 0;
  const server = stage.serve({ allowHalfOpen: true }, (conn) => {
    server.close();
    stage.watch('conn', conn, 'end', 'finish', 'drain', 'close').resume();
    conn.on('end', () => { stage.say('conn', 'write', conn.write(stage.much)); });
    conn.on('drain', () => conn.end('y', stage.done('conn', 'ended')));
  }, (port) => {
    const client = stage.watch('client', new net.Socket(), 'end', 'close');
    client.on('data', (data) => { size += data.length; });
    client.on('end', () => stage.say('client', 'size', size));
    client.connect(port, '127.0.0.1', () => client.end());
  });
};

exports.not_half_open_and_much_to_send = (stage, net) => {
  let size = 0;
  const server = stage.serve({}, (conn) => {
    server.close();
    stage.watch('conn', conn, 'end', 'finish', 'drain', 'close').resume();
    conn.on('end', () => { stage.say('conn', 'write', conn.write(stage.much, stage.done('conn', 'written'))); });
  }, (port) => {
    const client = stage.watch('client', new net.Socket({ allowHalfOpen: true }), 'end', 'close');
    client.on('data', (data) => { size += data.length; });
    client.on('end', () => stage.say('client', 'size', size));
    client.connect(port, '127.0.0.1', () => client.end());
  });
};

exports.timeout_by_option = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.resume(); server.close(); }, (port) => {
    const client = stage.watch('client', net.connect({ port, host: '127.0.0.1', timeout: 1000 }), 'connect', 'timeout', 'end', 'close');
    stage.say('client', 'timeout is', client.timeout);
    client.resume();
    client.on('timeout', () => client.end());
  });
};

exports.closed_all = (stage, net) => {
  const conns = [];
  const server = stage.watch('server', net.createServer((conn) => {
    conns.push(stage.watch('conn', conn, 'end', 'error', 'close'));
    conn.resume();
    if (conns.length < 2) return;
    server.close(stage.done('server', 'closed'));
    for (const one of conns) one.destroy();
    server.getConnections(stage.noting('server', 'count'));
  }), 'close');
  server.listen(0, '127.0.0.1', () => {
    for (let n = 0; n < 2; n++) stage.watch('client', net.connect(server.address().port, '127.0.0.1'), 'end', 'error', 'close').resume();
  });
};

exports.aborted_for_a_reason = (stage, net) => {
  const server = stage.serve({}, () => {}, (port) => {
    const control = new AbortController();
    const client = net.connect({ port, host: '127.0.0.1', signal: control.signal });
    client.on('error', (error) => stage.say('client', 'error', error.code, error.name, error.cause && error.cause.message));
    client.on('close', (had) => stage.say('client', 'close', had));
    control.abort(new Error('enough'));
    server.close();
  });
};

exports.connected_to_itself_twice = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.pipe(conn); conn.on('close', () => server.close()); }, (port) => {
    const client = stage.watch('client', net.connect(port, '127.0.0.1'), ...ALL);
    client.setEncoding('utf8');
    client.write('a');
    client.once('data', () => { client.write('b'); client.once('data', () => client.end('c')); });
  });
};

exports.corked_in_a_listener = (stage, net) => {
  const server = stage.serve({}, (conn) => { stage.watch('conn', conn, 'data', 'end', 'close'); server.close(); }, (port) => {
    const client = stage.watch('client', net.connect(port, '127.0.0.1'), 'finish', 'end', 'close').resume();
    client.on('connect', () => { client.cork(); client.write('a'); client.write('b'); });
    client.on('ready', () => { client.uncork(); client.end('c'); });
  });
};
