'use strict';
const WATCHED = ['pause', 'resume', 'end', 'error', 'close'];

// Connects a client to a server that calls give(conn). Calls act(client) when it is connected.
const visit = (stage, net, give, act, options = {}) => {
  const server = stage.serve({ allowHalfOpen: true }, (conn) => { server.close(); conn.on('error', () => {}); conn.on('end', () => conn.end()); conn.resume(); give(conn); }, (port) => {
    const client = stage.watch('client', new net.Socket(options), ...WATCHED);
    client.connect(port, '127.0.0.1', () => act(client));
  });
};
const tell = (stage, client) => client.on('data', stage.noting('client', 'data'));

exports.data = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => tell(stage, client));

exports.resumed = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  stage.after(30, () => tell(stage, client));
});

exports.resumed_without_a_listener = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  client.resume();
  stage.after(30, () => tell(stage, client));
});

exports.nobody_listens = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  stage.after(40, () => { stage.say('client', 'state', client.readableEnded, client.destroyed, client.isPaused()); client.destroy(); });
});

exports.paused = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  tell(stage, client);
  client.pause();
  stage.say('client', 'paused', client.isPaused());
  stage.after(30, () => { stage.say('client', 'still', client.isPaused()); client.resume(); stage.say('client', 'paused', client.isPaused()); });
});

exports.paused_before = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end('hello'); conn.resume(); server.close(); }, (port) => {
    const client = stage.watch('client', new net.Socket(), ...WATCHED);
    tell(stage, client);
    client.pause();
    client.connect(port, '127.0.0.1');
    stage.after(30, () => { stage.say('client', 'still', client.isPaused()); client.resume(); });
  });
};

exports.paused_and_resumed_at_once = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  tell(stage, client);
  client.pause();
  client.resume();
  client.pause();
  client.resume();
});

exports.resumed_and_paused_at_once = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  tell(stage, client);
  client.pause();
  client.resume();
  client.pause();
  stage.after(30, () => { stage.say('client', 'still', client.isPaused()); client.resume(); });
});

exports.paused_twice = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  tell(stage, client);
  client.pause();
  client.pause();
  stage.after(30, () => { client.resume(); client.resume(); });
});

exports.paused_in_data = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  client.on('data', (data) => {
    stage.say('client', 'data', data);
    client.pause();
    stage.after(20, () => { stage.say('client', 'still', client.isPaused()); client.resume(); });
  });
});

exports.paused_and_destroyed = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  tell(stage, client);
  client.pause();
  stage.after(20, () => client.destroy());
});

exports.paused_and_ended = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  client.on('finish', stage.noting('client', 'finish'));
  tell(stage, client);
  client.pause();
  client.end();
  stage.after(30, () => client.resume());
});

exports.pause_on_connect = (stage, net) => {
  const server = stage.serve({ pauseOnConnect: true }, (conn) => {
    server.close();
    stage.watch('conn', conn, 'data', ...WATCHED);
    stage.say('conn', 'paused', conn.isPaused());
    stage.after(30, () => { stage.say('conn', 'still', conn.isPaused()); conn.resume(); });
  }, (port) => { net.connect(port, '127.0.0.1').resume().end('hello'); });
};

exports.a_listener_is_removed = (stage, net) => visit(stage, net, (conn) => { conn.write('a'); conn.once('data', () => conn.end('b')); }, (client) => {
  const first = (data) => {
    stage.say('client', 'data', data);
    client.removeListener('data', first);
    stage.say('client', 'flows', client.isPaused());
    client.write('more');
    stage.after(30, () => client.on('data', stage.noting('client', 'later')));
  };
  client.on('data', first);
});

exports.listening_once = (stage, net) => visit(stage, net, (conn) => { conn.write('a'); conn.once('data', () => conn.end('b')); }, (client) => {
  client.once('data', (data) => {
    stage.say('client', 'data', data);
    client.write('more');
    stage.after(30, () => client.on('data', stage.noting('client', 'later')));
  });
});

exports.two_listeners = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  client.on('data', stage.noting('first', 'data'));
  client.on('data', stage.noting('second', 'data'));
  client.prependListener('data', () => stage.say('client', 'before'));
  client.prependOnceListener('end', () => stage.say('client', 'before end'));
  client.once('end', () => stage.say('client', 'once end'));
  stage.say('client', 'count', client.listenerCount('data'));
});

exports.characters_are_not_split = (stage, net) => visit(stage, net, (conn) => {
  const bytes = Buffer.from('a\u20acb\u{1f600}c');
  let n = 0;
  const next = () => { if (n < bytes.length) conn.write(bytes.subarray(n, ++n), () => stage.after(3, next)); else conn.end(); };
  next();
}, (client) => { client.setEncoding('utf8'); tell(stage, client); });

exports.half_a_character_at_the_end = (stage, net) => visit(stage, net, (conn) => conn.end(Buffer.from([0x61, 0xe2, 0x82])), (client) => {
  client.setEncoding('utf8');
  tell(stage, client);
});

exports.no_characters_at_all = (stage, net) => visit(stage, net, (conn) => conn.end(Buffer.from([0xff, 0x61, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xf0, 0x9f])), (client) => {
  client.setEncoding('utf8');
  tell(stage, client);
});

const encodings = { hex: 'hex', base64: 'base64', base64url: 'base64url', latin1: 'latin1', binary: 'binary', ucs2: 'ucs2', utf16le: 'utf16le', upper: 'UTF-8' };
for (const [name, encoding] of Object.entries(encodings)) {
  exports[`encoding_${name}`] = (stage, net) => visit(stage, net, (conn) => {
    conn.write(Buffer.from([0x61, 0x00, 0x3d]));
    stage.after(15, () => conn.end(Buffer.from([0xd8, 0x00, 0xde, 0x62])));
  }, (client) => { client.setEncoding(encoding); tell(stage, client); });
}

exports.encoding_unknown = (stage, net) => {
  const client = new net.Socket();
  stage.attempt('client', 'unknown', () => client.setEncoding('nonsense'));
  stage.attempt('client', 'none', () => client.setEncoding());
};

exports.counted = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
  tell(stage, client);
  stage.say('client', 'bytes', client.bytesRead);
  client.on('end', () => stage.say('client', 'bytes', client.bytesRead));
  client.on('close', () => stage.say('client', 'bytes', client.bytesRead));
});

for (const mark of [0, 1, 4]) {
  exports[`mark_${mark}`] = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
    stage.say('client', 'mark', client.readableHighWaterMark, client.writableHighWaterMark);
    tell(stage, client);
  }, { highWaterMark: mark });
  exports[`mark_${mark}_of_a_server`] = (stage, net) => {
    const server = stage.serve({ highWaterMark: mark }, (conn) => { stage.watch('conn', conn, 'data', ...WATCHED); server.close(); }, (port) => {
      net.connect(port, '127.0.0.1').resume().end('hello');
    });
  };
  exports[`mark_${mark}_paused`] = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
    tell(stage, client);
    client.pause();
    stage.after(20, () => client.resume());
  }, { highWaterMark: mark });
  exports[`mark_${mark}_late`] = (stage, net) => visit(stage, net, (conn) => conn.end('hello'), (client) => {
    stage.after(20, () => tell(stage, client));
  }, { highWaterMark: mark });
  exports[`mark_${mark}_nobody_listens`] = (stage, net) => visit(stage, net, (conn) => conn.end(), () => {}, { highWaterMark: mark });
  exports[`mark_${mark}_writes`] = (stage, net) => visit(stage, net, (conn) => conn.end(), (client) => {
    client.on('drain', stage.noting('client', 'drain'));
    client.resume();
    client.write('ab', stage.done('client writes', 'written'));
    client.end();
  }, { highWaterMark: mark });
}

exports.piped_to_another = (stage, net) => visit(stage, net, (conn) => conn.pipe(conn), (client) => { tell(stage, client); client.end('hello'); });

exports.piped_without_end = (stage, net) => {
  const server = stage.serve({ allowHalfOpen: true }, (conn) => {
    server.close();
    stage.watch('conn', conn, 'end', 'finish', 'close');
    for (const event of ['pipe', 'unpipe']) conn.on(event, (source) => stage.say('conn', event, source));
    conn.pipe(conn, { end: false });
    conn.on('end', () => { stage.say('conn', 'writable', conn.writable); conn.end('bye'); });
  }, (port) => {
    const client = stage.watch('client', net.connect(port, '127.0.0.1'), 'data', 'end', 'close');
    client.end('hello');
  });
};

exports.unpiped = (stage, net) => {
  const server = stage.serve({ allowHalfOpen: true }, (conn) => {
    server.close();
    stage.watch('conn', conn, 'end', 'finish', 'close');
    for (const event of ['pipe', 'unpipe']) conn.on(event, (source) => stage.say('conn', event, source));
    conn.pipe(conn);
    conn.once('data', () => { conn.unpipe(conn); stage.say('conn', 'flows', conn.isPaused()); stage.after(20, () => { conn.resume(); conn.end('bye'); }); });
  }, (port) => {
    const client = stage.watch('client', net.connect(port, '127.0.0.1'), 'data', 'end', 'close');
    client.end('hello');
  });
};

exports.received_into_a_buffer = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end('hello'); conn.resume(); server.close(); }, (port) => {
    const onread = { buffer: Buffer.alloc(3), callback: (n, buffer) => { stage.say('client', 'onread', n, buffer.subarray(0, n)); } };
    const client = stage.watch('client', new net.Socket({ onread }), 'data', ...WATCHED);
    client.connect(port, '127.0.0.1');
  });
};

exports.received_into_a_buffer_with_a_pause = (stage, net) => {
  const server = stage.serve({}, (conn) => { conn.end('hello'); conn.resume(); server.close(); }, (port) => {
    const callback = (n, buffer) => { stage.say('client', 'onread', n, buffer.subarray(0, n)); stage.after(10, () => client.resume()); return false; };
    const client = stage.watch('client', new net.Socket({ onread: { buffer: () => Buffer.alloc(3), callback } }), 'data', 'end', 'close');
    client.connect(port, '127.0.0.1');
  });
};
