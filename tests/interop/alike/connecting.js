'use strict';
const ALL = ['lookup', 'connectionAttempt', 'connectionAttemptFailed', 'connect', 'ready', 'end', 'finish', 'timeout', 'error', 'close'];
const states = (s) => [s.connecting, s.pending, s.destroyed, s.writableEnded, s.readableEnded];

exports.connect = (stage, net) => {
  const server = stage.serve({}, (conn) => { stage.watch('conn', conn, ...ALL, 'data'); server.close(); }, (port) => {
    const client = new net.Socket();
    stage.watch('client', client, ...ALL, 'data');
    client.once('connect', () => stage.say('client', 'states', states(client)));
    client.connect(port, '127.0.0.1', () => { stage.say('client', 'callback'); client.end('bye'); });
    stage.say('client', 'states', states(client));
    client.on('close', () => stage.say('client', 'states', states(client)));
  });
};

exports.connect_by_name = (stage, net) => {
  const lookup = (host, options, answer) => (options.all ? answer(null, [{ address: '127.0.0.1', family: 4 }]) : answer(null, '127.0.0.1', 4));
  const server = stage.serve({}, (conn) => { conn.end(); conn.resume(); server.close(); }, (port) => {
    const client = stage.dial('client', { port, host: 'somewhere', lookup }, ...ALL);
    client.resume();
  });
};

exports.connect_by_name_of_one_family = (stage, net) => {
  const lookup = (host, options, answer) => { stage.say('lookup', 'asked', host, options.family, !!options.all); answer(null, '127.0.0.1', 4); };
  const server = stage.serve({}, (conn) => { conn.end(); conn.resume(); server.close(); }, (port) => {
    const client = stage.dial('client', { port, host: 'somewhere', family: 4, lookup }, ...ALL);
    client.resume();
  });
};

exports.lookup_fails = (stage, net) => {
  const lookup = (host, options, answer) => answer(Object.assign(new Error('no'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }));
  stage.dial('client', { port: 9, host: 'somewhere', lookup }, ...ALL);
};

exports.lookup_gives_nonsense = (stage, net) => {
  const lookup = (host, options, answer) => answer(null, 'nonsense', 0);
  stage.dial('client', { port: 9, host: 'somewhere', family: 4, lookup }, ...ALL);
};

exports.lookup_gives_nothing = (stage, net) => {
  const lookup = (host, options, answer) => answer(null, [], 4);
  stage.dial('client', { port: 9, host: 'somewhere', lookup }, ...ALL);
};

exports.lookup_never_answers = (stage, net) => {
  const client = stage.watch('client', new net.Socket(), ...ALL);
  client.connect({ port: 9, host: 'somewhere', lookup: () => {}, timeout: 20 });
  stage.after(60, () => {});
  client.on('timeout', () => client.destroy());
};

exports.lookup_answers_too_late = (stage, net) => {
  const lookup = (host, options, answer) => stage.after(30, () => answer(null, '127.0.0.1', 4));
  const client = stage.dial('client', { port: 9, host: 'somewhere', lookup }, ...ALL);
  stage.soon(() => client.destroy());
};

exports.refused = (stage, net) => {
  const server = stage.serve({}, null, (port) => server.close(() => {
    const client = stage.dial('client', { port, host: '127.0.0.1' }, ...ALL);
    client.write('x', stage.done('client', 'written'));
    client.end(stage.done('client', 'ended'));
  }));
};

exports.refused_by_all = (stage, net) => {
  const lookup = (host, options, answer) => answer(null, [{ address: '127.0.0.1', family: 4 }, { address: '127.0.0.2', family: 4 }]);
  const server = stage.serve({}, null, (port) => server.close(() => {
    const client = stage.dial('client', { port, host: 'somewhere', lookup }, ...ALL);
    client.on('close', () => stage.say('client', 'attempted', (client.autoSelectFamilyAttemptedAddresses || []).length));
  }));
};

exports.refused_by_the_first = (stage, net) => {
  const lookup = (host, options, answer) => answer(null, [{ address: '127.0.0.2', family: 4 }, { address: '127.0.0.1', family: 4 }]);
  const server = stage.serve({}, (conn) => { conn.end(); conn.resume(); server.close(); }, (port) => {
    const client = stage.dial('client', { port, host: 'somewhere', lookup }, ...ALL);
    client.resume();
  });
};

exports.refused_without_a_choice = (stage, net) => {
  const lookup = (host, options, answer) => answer(null, '127.0.0.2', 4);
  const server = stage.serve({}, null, (port) => server.close(() => {
    stage.dial('client', { port, host: 'somewhere', autoSelectFamily: false, lookup }, ...ALL);
  }));
};

exports.no_such_path = (stage, net) => {
  stage.dial('client', { path: '/nowhere/at/all' }, ...ALL);
};

exports.no_socket_at_path = (stage, net) => {
  stage.dial('client', { path: '/dev/null' }, ...ALL);
};

exports.aborted_before = (stage, net) => {
  const server = stage.serve({}, () => stage.say('server', 'connection'), (port) => {
    const control = new AbortController();
    control.abort();
    const client = new net.Socket({ signal: control.signal });
    stage.watch('client', client, ...ALL);
    stage.say('client', 'states', states(client));
    stage.attempt('client', 'connect()', () => client.connect(port, '127.0.0.1', stage.noting('client', 'callback')));
    stage.after(40, () => server.close());
    stage.after(40, () => client.destroy());
  });
};

exports.aborted_before_by_options = (stage, net) => {
  const server = stage.serve({}, () => stage.say('server', 'connection'), (port) => {
    const control = new AbortController();
    control.abort();
    const client = stage.watch('client', net.connect({ port, host: '127.0.0.1', signal: control.signal }), ...ALL);
    stage.after(40, () => server.close());
    stage.after(40, () => client.destroy());
  });
};

exports.aborted_on_the_way = (stage, net) => {
  const server = stage.serve({}, () => {}, (port) => {
    const control = new AbortController();
    const client = stage.watch('client', net.connect({ port, host: '127.0.0.1', signal: control.signal }), ...ALL);
    client.write('x', stage.done('client', 'written'));
    control.abort();
    stage.say('client', 'states', states(client));
    server.close();
  });
};

exports.aborted_when_connected = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.resume(); server.close(); }, (port) => {
    const control = new AbortController();
    const client = stage.watch('client', net.connect({ port, host: '127.0.0.1', signal: control.signal }), ...ALL);
    client.on('connect', () => { control.abort(); control.abort(); stage.say('client', 'states', states(client)); });
  });
};

exports.aborted_after_the_end = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end(); conn.resume(); server.close(); }, (port) => {
    const control = new AbortController();
    const client = stage.watch('client', net.connect({ port, host: '127.0.0.1', signal: control.signal }), ...ALL);
    client.resume();
    client.on('close', () => control.abort());
  });
};

exports.destroyed_on_the_way = (stage, net) => {
  const server = stage.serve({}, () => {}, (port) => {
    const client = stage.watch('client', net.connect(port, '127.0.0.1', stage.noting('client', 'callback')), ...ALL);
    client.write('x', stage.done('client', 'written'));
    client.end(stage.done('client', 'ended'));
    client.destroy();
    stage.say('client', 'states', states(client));
    server.close();
  });
};

exports.destroyed_on_the_way_by_an_error = (stage, net) => {
  const server = stage.serve({}, () => {}, (port) => {
    const client = stage.dial('client', { port, host: '127.0.0.1' }, ...ALL);
    client.write('x', stage.done('client', 'written'));
    client.destroy(new Error('mine'));
    client.destroy(new Error('another'));
    server.close();
  });
};

exports.destroyed_in_an_attempt = (stage, net) => {
  const server = stage.serve({}, () => {}, (port) => {
    const client = stage.dial('client', { port, host: '127.0.0.1' }, ...ALL);
    client.on('connectionAttempt', () => { client.destroy(); server.close(); });
  });
};

exports.destroyed_in_connect = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.on('error', () => {}); conn.resume(); server.close(); }, (port) => {
    const client = stage.dial('client', { port, host: '127.0.0.1' }, ...ALL);
    client.on('connect', () => client.destroy());
  });
};

exports.written_before = (stage, net) => {
  const server = stage.serve({}, (conn) => { stage.watch('conn', conn, 'data', 'end', 'close'); server.close(); }, (port) => {
    const client = new net.Socket();
    stage.watch('client', client, ...ALL, 'drain');
    client.connect(port, '127.0.0.1');
    stage.say('client', 'write', client.write('a', stage.done('client', 'written a')));
    stage.say('client', 'write', client.write('b', stage.done('client', 'written b')));
    stage.say('client', 'bytes', client.bytesWritten, client.writableLength, client.bufferSize);
    client.end('c', stage.done('client', 'ended'));
    client.on('close', () => stage.say('client', 'bytes', client.bytesWritten, client.writableLength));
  });
};

exports.written_without_connect = (stage, net) => {
  const client = new net.Socket();
  stage.watch('client', client, ...ALL);
  client.write('a', stage.done('client', 'written'));
  stage.after(20, () => client.destroy());
};

exports.ended_without_connect = (stage, net) => {
  const client = new net.Socket();
  stage.watch('client', client, ...ALL);
  client.end(stage.done('client', 'ended'));
  stage.say('client', 'states', states(client));
  stage.after(20, () => client.destroy());
};

exports.destroyed_without_connect = (stage, net) => {
  const client = new net.Socket();
  stage.watch('client', client, ...ALL);
  client.destroy();
  stage.say('client', 'states', states(client));
};

exports.connected_again = (stage, net) => {
  let visits = 0;
  const server = stage.serve({}, (conn) => { conn.end('hello'); conn.resume(); if (++visits === 2) server.close(); }, (port) => {
    const client = new net.Socket();
    stage.watch('client', client, ...ALL, 'data');
    client.connect(port, '127.0.0.1');
    client.once('close', () => {
      stage.say('client', 'bytes', client.bytesRead, client.bytesWritten);
      client.connect(port, '127.0.0.1');
      stage.say('client', 'states', states(client));
      client.write('x');
      client.on('close', () => stage.say('client', 'bytes', client.bytesRead, client.bytesWritten));
    });
  });
};

exports.connect_wrongly = (stage, net) => {
  const client = new net.Socket();
  const given = [[-1], [65536], [1.5], ['99999'], [{}], [], [{ port: 'x y' }], [{ port: 1, localAddress: 'here' }], [{ port: 1, localPort: 'x' }],
    [{ port: 1, lookup: 1 }], [{ port: 1, autoSelectFamilyAttemptTimeout: 0 }], [{ port: true }]];
  given.forEach((args, n) => stage.attempt('client', `connect ${n}`, () => client.connect(...args)));
};

exports.a_local_address_of_somebody_else = (stage, net) => {
  stage.dial('client', { port: 9, host: '127.0.0.1', localAddress: '192.0.2.1', localPort: 0 }, 'error', 'close');
};

exports.options_before_and_after = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end(); conn.resume(); server.close(); }, (port) => {
    const client = new net.Socket();
    stage.attempt('client', 'nodelay', () => client.setNoDelay());
    stage.attempt('client', 'keepalive', () => client.setKeepAlive(true, 1000));
    stage.attempt('client', 'address', () => client.address());
    client.connect(port, '127.0.0.1');
    client.resume();
    client.on('close', () => {
      stage.attempt('client', 'nodelay', () => client.setNoDelay());
      stage.attempt('client', 'keepalive', () => client.setKeepAlive(true, 1000));
      stage.attempt('client', 'address', () => client.address());
      stage.say('client', 'names', client.remoteAddress, client.remotePort, client.remoteFamily, client.localAddress, client.localPort);
      stage.attempt('client', 'pause', () => client.pause());
      stage.attempt('client', 'resume', () => client.resume());
      stage.attempt('client', 'timeout', () => client.setTimeout(10));
      stage.attempt('client', 'ref', () => client.ref());
      stage.attempt('client', 'unref', () => client.unref());
    });
  });
};

exports.names_when_connected = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end(); conn.resume(); server.close(); }, (port) => {
    const client = net.connect(port, '127.0.0.1', () => {
      stage.known(client.localPort, 'LOCAL');
      stage.say('client', 'names', client.remoteAddress, client.remotePort, client.remoteFamily, client.localAddress, client.localPort, client.localFamily);
      stage.say('client', 'address', client.address());
    });
    client.resume();
  });
};
