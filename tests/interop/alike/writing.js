'use strict';
const WATCHED = ['drain', 'finish', 'end', 'error', 'close'];

// Connects a client to a server that logs what it receives. Calls act(client) when it is connected.
const visit = (stage, net, act, options = {}) => {
  const server = stage.serve({}, (conn) => { server.close(); stage.watch('conn', conn, 'data', 'end', 'close'); }, (port) => {
    const client = stage.watch('client', new net.Socket(options), ...WATCHED);
    client.resume();
    client.connect(port, '127.0.0.1', () => act(client));
  });
};

exports.written = (stage, net) => visit(stage, net, (client) => {
  stage.say('client', 'write', client.write('a', stage.done('client', 'a')));
  stage.say('client', 'write', client.write(Buffer.from('b'), stage.done('client', 'b')));
  stage.say('client', 'write', client.write('c', 'utf8', stage.done('client', 'c')));
  stage.say('client', 'bytes', client.bytesWritten);
  client.end('d', 'utf8', stage.done('client', 'end'));
});

exports.written_in_encodings = (stage, net) => visit(stage, net, (client) => {
  const texts = [['6a6b', 'hex'], ['aGk=', 'base64'], ['aGk', 'base64'], ['-_8', 'base64url'], ['\u00e9', 'latin1'], ['\u00e9', 'ascii'], ['\u00e9', 'ucs2'], ['\u{1f600}', 'utf16le'], ['x', 'UTF8'], ['\ud800', 'utf8']];
  let n = 0;
  const next = () => {
    if (n === texts.length) return client.end();
    stage.attempt('client', `write ${n}`, () => client.write(...texts[n]));
    stage.say('client', 'bytes', client.bytesWritten);
    n += 1;
    stage.after(5, next);
  };
  next();
});

exports.written_wrongly = (stage, net) => visit(stage, net, (client) => {
  [[5], [null], [{}], [true], [['a']], ['x', 'nonsense']].forEach((args, n) => stage.attempt('client', `write ${n}`, () => client.write(...args)));
  stage.say('client', 'bytes', client.bytesWritten, client.destroyed);
  client.destroy();
});

exports.ended_wrongly = (stage, net) => visit(stage, net, (client) => {
  stage.attempt('client', 'end', () => client.end(5));
  client.destroy();
});

exports.nothing_written = (stage, net) => visit(stage, net, (client) => {
  stage.say('client', 'write', client.write('', stage.done('client', 'a')));
  client.write(Buffer.alloc(0), stage.done('client', 'b'));
  client.end('', stage.done('client', 'end'));
});

exports.corked = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  stage.say('client', 'write', client.write('a', stage.done('client', 'a')));
  stage.say('client', 'write', client.write('b', stage.done('client', 'b')));
  stage.say('client', 'length', client.writableLength, client.bytesWritten, client.writableCorked);
  stage.after(20, () => { stage.say('client', 'uncork', client.writableLength); client.uncork(); client.end(); });
});

exports.corked_and_ended = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.write('a', stage.done('client', 'a'));
  client.write('b', stage.done('client', 'b'));
  client.end(stage.done('client', 'end'));
  stage.say('client', 'corked', client.writableCorked);
});

exports.corked_and_ended_with_more = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.cork();
  client.write('a', stage.done('client', 'a'));
  client.end('b', stage.done('client', 'end'));
});

exports.corked_and_only_ended = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.end(stage.done('client', 'end'));
});

exports.corked_and_destroyed = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.write('a', stage.done('client', 'a'));
  client.destroy();
});

exports.corked_and_destroyed_soon = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.write('a', stage.done('client', 'a'));
  client.destroySoon();
});

exports.corked_twice = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.cork();
  client.write('a', stage.done('client', 'a'));
  client.uncork();
  stage.say('client', 'length', client.writableLength, client.writableCorked);
  stage.after(20, () => { stage.say('client', 'length', client.writableLength); client.uncork(); client.uncork(); client.end(); });
});

exports.corked_with_nothing = (stage, net) => visit(stage, net, (client) => {
  client.cork();
  client.uncork();
  client.write('a', stage.done('client', 'a'));
  client.end();
});

exports.corked_before_it_is_connected = (stage, net) => {
  const server = stage.serve({}, (conn) => { server.close(); stage.watch('conn', conn, 'data', 'end', 'close'); }, (port) => {
    const client = stage.watch('client', new net.Socket(), ...WATCHED);
    client.resume();
    client.cork();
    client.connect(port, '127.0.0.1');
    client.write('a', stage.done('client', 'a'));
    client.end(stage.done('client', 'end'));
  });
};

exports.drained = (stage, net) => visit(stage, net, (client) => {
  let size = 0;
  stage.say('client', 'write', client.write(stage.much, stage.done('client', 'written')), client.writableNeedDrain);
  stage.say('client', 'more', client.writableLength > 16384);
  client.on('drain', () => { stage.say('client', 'length', client.writableLength, client.writableNeedDrain); client.destroy(); });
});

exports.not_drained_when_ended = (stage, net) => {
  const server = stage.serve({}, (conn) => { server.close(); conn.resume(); }, (port) => {
    const client = stage.watch('client', new net.Socket(), ...WATCHED);
    client.resume();
    client.connect(port, '127.0.0.1', () => { client.write(stage.much); client.end(); });
  });
};

exports.drained_by_a_small_mark_before_it_is_connected = (stage, net) => {
  const server = stage.serve({}, (conn) => { server.close(); stage.watch('conn', conn, 'data', 'end', 'close'); }, (port) => {
    const client = stage.watch('client', new net.Socket({ highWaterMark: 2 }), ...WATCHED);
    client.resume();
    client.connect(port, '127.0.0.1');
    stage.say('client', 'write', client.write('a'));
    stage.say('client', 'write', client.write('b', stage.done('client', 'b')));
    client.on('drain', () => client.end());
  });
};

exports.ended_in_a_callback = (stage, net) => visit(stage, net, (client) => {
  client.write('a', () => { stage.say('client', 'a'); client.end('b', stage.done('client', 'end')); });
});

exports.destroyed_in_a_callback = (stage, net) => visit(stage, net, (client) => {
  client.write('a', () => { stage.say('client', 'a'); client.destroy(); });
  client.write('b', stage.done('client', 'b'));
});

exports.states_of_writing = (stage, net) => visit(stage, net, (client) => {
  const states = () => [client.writable, client.writableEnded, client.writableFinished, client.writableLength];
  stage.say('client', 'states', states());
  client.end('x');
  stage.say('client', 'states', states());
  client.on('finish', () => stage.say('client', 'states', states()));
  client.on('close', () => stage.say('client', 'states', states()));
});
