'use strict';
const ALL = ['data', 'end', 'finish', 'drain', 'timeout', 'error', 'close'];
const here = (port) => ({ port, host: '127.0.0.1' });

// Connects a client to a server, watches both, and calls act(client, conn, server) when both are connected.
const pair = (stage, net, act, options = {}) => {
  let conn, client;
  const both = () => { if (conn && client) act(client, conn, server); };
  const server = stage.serve(options, (made) => {
    conn = stage.watch('conn', made, 'end', 'finish', 'drain', 'timeout', 'error', 'close');
    server.close();
    both();
  }, (port) => {
    const made = new net.Socket(options);
    stage.watch('client', made, 'end', 'finish', 'drain', 'timeout', 'error', 'close');
    made.connect(port, '127.0.0.1', () => { client = made; both(); });
  });
};

exports.the_peer_ends = (stage, net) => pair(stage, net, (client, conn) => { client.resume(); conn.resume(); conn.end(); });

exports.both_end = (stage, net) => pair(stage, net, (client, conn) => {
  client.on('data', stage.noting('client hears', 'data'));
  conn.on('data', stage.noting('conn hears', 'data'));
  client.end('from the client');
  conn.end('from the server');
});

exports.half_open = (stage, net) => pair(stage, net, (client, conn) => {
  client.on('data', stage.noting('client', 'data'));
  conn.on('data', stage.noting('conn', 'data'));
  conn.on('end', () => stage.soon(() => { stage.say('conn', 'writable', conn.writable, conn.readyState); conn.end('late'); }));
  client.end('first');
  client.on('finish', () => stage.say('client', 'state', client.readyState));
}, { allowHalfOpen: true });

exports.half_open_never_ended = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.end();
  conn.on('end', () => stage.after(20, () => { stage.say('conn', 'state', conn.readyState, conn.destroyed); conn.destroy(); }));
}, { allowHalfOpen: true });

exports.destroyed = (stage, net) => pair(stage, net, (client, conn) => {
  client.resume();
  conn.resume();
  client.destroy();
  stage.say('client', 'state', client.destroyed, client.writable, client.readable, client.readyState);
});

exports.destroyed_by_an_error = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.destroy(new Error('mine'));
});

exports.destroyed_in_data = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  conn.on('error', () => {});
  client.on('data', (data) => { stage.say('client', 'data', data); client.destroy(); });
  conn.end('hello');
});

exports.destroyed_in_end = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.on('end', () => client.destroy());
  conn.end('hello');
});

exports.destroyed_in_finish = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.on('finish', () => client.destroy());
  client.end('hello');
});

exports.destroyed_in_close = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.on('close', () => { client.destroy(new Error('late')); client.end(); });
  client.end('hello');
});

exports.destroyed_in_error = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.on('error', () => client.destroy(new Error('another')));
  client.destroy(new Error('first'));
});

exports.destroyed_soon = (stage, net) => pair(stage, net, (client, conn) => {
  conn.on('data', stage.noting('conn', 'data'));
  client.resume();
  client.write('hello');
  client.destroySoon();
  stage.say('client', 'state', client.destroyed, client.writableEnded);
});

exports.destroyed_soon_with_nothing_to_send = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.destroySoon();
  stage.say('client', 'state', client.destroyed, client.writableEnded);
});

exports.ended_twice = (stage, net) => pair(stage, net, (client, conn) => {
  conn.on('data', stage.noting('conn', 'data'));
  client.resume();
  client.end('a', stage.done('client', 'first'));
  client.end(stage.done('client', 'second'));
});

exports.ended_after_finish = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.end();
  client.on('finish', () => client.end(stage.done('client', 'callback')));
});

exports.ended_after_destroy = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.destroy();
  client.end(stage.done('client', 'callback'));
});

exports.ended_after_close = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.end();
  client.on('close', () => client.end(stage.done('client', 'callback')));
});

exports.ended_with_much_to_send = (stage, net) => pair(stage, net, (client, conn) => {
  let size = 0;
  conn.on('data', (data) => { size += data.length; });
  conn.on('end', () => stage.say('conn', 'size', size));
  stage.say('client', 'write', client.write(stage.much, stage.done('client', 'written')));
  client.end(stage.done('client', 'ended'));
  stage.say('client', 'state', client.writableEnded, client.writableFinished, client.readyState);
  client.resume();
});

exports.destroyed_with_much_to_send = (stage, net) => pair(stage, net, (client, conn) => {
  conn.on('error', () => {});
  client.write(stage.much, stage.done('client', 'written a'));
  client.write('y', stage.done('client', 'written b'));
  client.end(stage.done('client', 'ended'));
  client.destroy();
  conn.resume();
});

exports.destroyed_by_an_error_with_much_to_send = (stage, net) => pair(stage, net, (client, conn) => {
  client.write(stage.much, stage.done('client', 'written a'));
  client.write('y', stage.done('client', 'written b'));
  client.end(stage.done('client', 'ended'));
  client.destroy(new Error('mine'));
  conn.resume();
});

exports.written_after_end = (stage, net) => pair(stage, net, (client, conn) => {
  conn.on('data', stage.noting('conn', 'data'));
  conn.on('end', () => stage.say('conn', 'ended'));
  client.resume();
  client.end('x');
  stage.say('client', 'write', client.write('y', stage.done('client', 'written')));
});

exports.written_after_destroy = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.destroy();
  stage.say('client', 'write', client.write('y', stage.done('client', 'written')));
});

exports.written_after_close = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.on('close', () => stage.say('client', 'write', client.write('y', stage.done('client', 'written'))));
  client.end();
});

exports.written_in_the_peers_end = (stage, net) => pair(stage, net, (client, conn) => {
  conn.on('data', stage.noting('conn', 'data'));
  client.resume();
  client.on('end', () => stage.say('client', 'write', client.write('y', stage.done('client', 'written'))));
  conn.end();
});

exports.reset = (stage, net) => pair(stage, net, (client, conn) => {
  client.resume();
  conn.resetAndDestroy();
});

exports.reset_while_writing = (stage, net) => pair(stage, net, (client, conn) => {
  client.on('data', stage.noting('client', 'data'));
  client.removeAllListeners('error').on('error', (error) => stage.say('client', 'error', error.code)); // an error of reading or of writing
  conn.pause();
  client.write(stage.much);
  stage.after(30, () => conn.resetAndDestroy());
});

exports.reset_while_ending = (stage, net) => pair(stage, net, (client, conn) => {
  client.on('data', stage.noting('client', 'data'));
  client.removeAllListeners('error').on('error', (error) => stage.say('client', 'error', error.code));
  conn.pause();
  client.end(stage.much, (error) => stage.say('client ends', 'ended', error.code));
  stage.after(30, () => conn.resetAndDestroy());
});

exports.reset_before_there_is_a_connection = (stage, net) => {
  const server = stage.serve({}, (conn) => { stage.watch('conn', conn, 'end', 'error', 'close'); conn.resume(); server.close(); }, (port) => {
    const client = stage.dial('client', here(port), 'connect', 'ready', 'end', 'error', 'close');
    client.resetAndDestroy();
    stage.say('client', 'state', client.destroyed, client.connecting);
  });
};

exports.reset_without_a_connection = (stage, net) => {
  const client = stage.watch('client', new net.Socket(), 'error', 'close');
  stage.attempt('client', 'reset', () => client.resetAndDestroy());
};

exports.timeout = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.setTimeout(20, () => {
    stage.say('client', 'callback', client.timeout);
    client.setTimeout(0);
    client.end();
  });
});

exports.timeout_again = (stage, net) => pair(stage, net, (client, conn) => {
  let times = 0;
  conn.resume();
  client.resume();
  client.setTimeout(10);
  client.on('timeout', () => {
    if (++times === 1) return client.write('x');
    client.setTimeout(0);
    client.end();
  });
});

exports.timeout_once_if_nothing_happens = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.setTimeout(10);
  stage.after(80, () => client.destroy());
});

exports.timeout_taken_back = (stage, net) => pair(stage, net, (client, conn) => {
  const callback = stage.noting('client', 'callback');
  conn.resume();
  client.resume();
  client.setTimeout(20, callback);
  client.setTimeout(0, callback);
  stage.say('client', 'listeners', client.listenerCount('timeout'), client.timeout);
  stage.after(50, () => client.end());
});

exports.timeout_wrongly = (stage, net) => {
  const client = new net.Socket();
  ['x', -1, Infinity, NaN, null, {}].forEach((value, n) => stage.attempt('client', `timeout ${n}`, () => client.setTimeout(value)));
  stage.attempt('client', 'callback', () => client.setTimeout(10, 'x'));
  stage.attempt('client', 'fine', () => client.setTimeout(10));
  stage.say('client', 'timeout', client.timeout);
  client.destroy();
};

exports.a_timer_does_not_keep_the_loop = (stage, net) => {
  const client = new net.Socket();
  stage.watch('client', client, 'timeout', 'close');
  client.setTimeout(100);
};

exports.a_timer_of_an_unrefd_socket = (stage, net) => pair(stage, net, (client, conn) => {
  client.resume();
  conn.resume();
  client.setTimeout(200);
  conn.setTimeout(200);
  client.unref();
  conn.unref();
});

exports.unref_before = (stage, net) => {
  const server = net.createServer(() => {}).listen(0, '127.0.0.1', () => {
    const client = new net.Socket();
    stage.watch('client', client, 'connect', 'close');
    client.unref();
    client.connect(server.address().port, '127.0.0.1');
    client.on('connect', () => server.close());
  });
  server.on('connection', (conn) => conn.unref());
};

exports.names_after_the_end = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.resume();
  client.end();
  client.on('end', () => stage.say('client', 'names', client.remoteAddress, client.address().address));
  client.on('close', () => stage.say('client', 'names', client.remoteAddress, client.remotePort, client.localAddress, client.address(), client.pending));
});

exports.names_after_destroy = (stage, net) => pair(stage, net, (client, conn) => {
  conn.resume();
  client.destroy();
  stage.say('client', 'names', client.remoteAddress, client.remotePort, client.localAddress, client.address());
});

exports.states_on_the_way_out = (stage, net) => pair(stage, net, (client, conn) => {
  const states = () => [client.readyState, client.readable, client.writable, client.writableEnded, client.writableFinished, client.readableEnded, client.destroyed];
  conn.resume();
  client.resume();
  stage.say('client', 'states', states());
  client.end();
  stage.say('client', 'states', states());
  for (const event of ['finish', 'end', 'close']) client.on(event, () => stage.say('client', 'states', states()));
});
