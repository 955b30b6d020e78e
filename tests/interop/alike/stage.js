'use strict';
// Prints its version, then runs scenarios, one after another, and prints the events of each emitter as JSON: a line for
// each line of its input, [NAME, TOPIC, DIRECTORY, SLOWNESS]. A scenario ends when the loop has nothing to do.
const fs = require('fs');
const net = require('net');
const path = require('path');

const LIMIT_MS = 10000;
const MUCH = 'x'.repeat(12000000); // see stage.py
let current;

function staged(directory, slowness) {
  const trace = {};
  const names = new Map();

  function plain(value) {
    if (value === undefined || value === null) return null;
    if (names.has(value)) return names.get(value);
    if (typeof value === 'boolean' || typeof value === 'string' || typeof value === 'number') return value;
    if (ArrayBuffer.isView(value)) return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1') };
    if (value instanceof net.Socket) return 'a Socket';
    if (value instanceof net.Server) return 'a Server';
    if (value instanceof Error) return failure(value);
    if (Array.isArray(value)) return value.map(plain);
    return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, plain(of)]));
  }

  function failure(error) {
    const code = error.code ?? error.message;
    // Newer versions of OpenSSL call some alerts otherwise. The ssl module has kept their names.
    const told = { code: typeof code === 'string' ? code.replace('SSL/TLS_ALERT', 'SSLV3_ALERT') : code };
    for (const name of ['syscall', 'address', 'port']) if (error[name] !== undefined) told[name] = plain(error[name]);
    if (error.errors) told.errors = error.errors.map(failure);
    return told;
  }

  function say(who, event, ...args) {
    const told = (trace[who] ??= []);
    const last = told[told.length - 1];
    const what = args.map(plain);
    if (event === 'data' && last && last[0] === 'data' && typeof last[1] === typeof what[0]) {
      if (typeof what[0] === 'string') last[1] += what[0];
      else last[1].bytes += what[0].bytes;
    } else {
      told.push([event, ...what]);
    }
  }

  const stage = {
    directory,
    much: MUCH,
    say,
    noting: (who, event) => (...args) => say(who, event, ...args),
    done: (who, event) => (error) => say(who, event, error), // a callback: Node's get no argument, undefined or null
    watch(who, emitter, ...events) {
      const tell = emitter instanceof net.Socket ? (event, args) => (event === 'close' ? [!!args[0]] : args) : (event, args) => args;
      for (const event of events) emitter.on(event, (...args) => say(who, event, ...tell(event, args)));
      return emitter;
    },
    dial(who, where, ...events) {
      const client = new net.Socket();
      return stage.watch(who, client, ...events).connect(where);
    },
    attempt(who, event, act) {
      try {
        const made = act();
        say(who, event, made instanceof net.Socket || made instanceof net.Server ? 'itself' : made);
      } catch (error) {
        say(who, event, 'raises', error);
      }
    },
    after: (ms, act) => setTimeout(act, ms * slowness),
    soon: (act) => setImmediate(act),
    known: (value, name) => names.set(value, name),
    serve(options, connection, then) {
      const server = net.createServer(options, connection);
      server.listen(0, '127.0.0.1', () => {
        names.set(server.address().port, 'PORT');
        then(server.address().port, server);
      });
      return server;
    },
  };

  return { stage, trace };
}

const shorter = (name, value) => (typeof value === 'string' && value.length > 1000 ? `${value.length} of them` : value);
const tell = () => fs.writeSync(1, `${JSON.stringify(current.trace, shorter)}\n`);

function asked() {
  let line = '';
  const byte = Buffer.alloc(1);
  while (fs.readSync(0, byte) && byte[0] !== 10) line += byte.toString('latin1');
  return line;
}

function next() {
  if (current) {
    clearTimeout(current.limit);
    tell();
  }
  const line = asked();
  if (!line) return;
  const [name, topic, directory, slowness] = JSON.parse(line);
  current = staged(directory, slowness);
  current.limit = setTimeout(() => { current.stage.say('process', 'hangs'); tell(); process.exit(); }, LIMIT_MS).unref();
  setImmediate(() => require(path.join(__dirname, topic))[name](current.stage, net)); // makes the loop go on
}

const uncaught = (error) => current.stage.say('process', 'uncaught', error);
process.on('uncaughtException', uncaught);
process.on('unhandledRejection', uncaught);
process.on('beforeExit', next);
fs.writeSync(1, `${process.versions.node}\n`);
