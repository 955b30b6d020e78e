'use strict';
const tls = require('tls');
const { EVENTS, dial, identity, pair, pem, serve } = require('./papers');

const verdict = (client) => [client.authorized, client.authorizationError];

// A client that has these options meets a server that has those.
const meet = (stage, ofServer, ofClient = {}, ...more) => {
  const server = serve(stage, ofServer, (conn) => { conn.on('error', () => {}).resume(); }, (where) => {
    const client = dial(stage, where, ofClient, 'connect', 'secureConnect', 'error', 'close', ...more);
    client.on('secureConnect', () => { stage.say('client', 'verdict', verdict(client)); client.end(); });
    client.on('close', () => { stage.say('client', 'verdict', verdict(client)); server.close(); });
    client.resume();
  });
  server.removeAllListeners('tlsClientError'); // Node's client goes after the handshake
};
const shown = (stage, name, ofClient) => meet(stage, identity(stage, name), ofClient);

exports.trusted = (stage) => shown(stage, 'localhost');
exports.trusted_and_never_rejected = (stage) => shown(stage, 'localhost', { rejectUnauthorized: false });
exports.self_signed = (stage) => shown(stage, 'selfsigned');
exports.self_signed_not_rejected = (stage) => shown(stage, 'selfsigned', { rejectUnauthorized: false });
exports.expired = (stage) => shown(stage, 'expired');
exports.expired_not_rejected = (stage) => shown(stage, 'expired', { rejectUnauthorized: false });
exports.wrong_host = (stage) => shown(stage, 'elsewhere');
exports.wrong_host_not_rejected = (stage) => shown(stage, 'elsewhere', { rejectUnauthorized: false });
exports.wildcard_host = (stage) => shown(stage, 'elsewhere', { servername: 'a.wild.example' });
exports.from_a_stranger = (stage) => shown(stage, 'stranger');
exports.from_a_stranger_not_rejected = (stage) => shown(stage, 'stranger', { rejectUnauthorized: false });
exports.by_address = (stage) => shown(stage, 'localhost', { servername: undefined });
exports.by_address_that_is_wrong = (stage) => shown(stage, 'elsewhere', { servername: undefined });

exports.checked_by_a_function = (stage) => shown(stage, 'elsewhere', {
  checkServerIdentity: (host, cert) => { stage.say('check', 'called', host, cert.subjectaltname); },
});
exports.checked_by_a_function_that_refuses = (stage) => shown(stage, 'localhost', {
  checkServerIdentity: () => Object.assign(new Error('mine'), { code: 'MINE' }),
});
exports.checked_by_a_function_that_is_ignored = (stage) => shown(stage, 'localhost', {
  rejectUnauthorized: false,
  checkServerIdentity: () => Object.assign(new Error('mine'), { code: 'MINE' }),
});
exports.identities = (stage) => {
  const asked = [
    ['a.example', 'DNS:a.example'], ['A.example.', 'DNS:a.EXAMPLE'], ['b.example', 'DNS:a.example'], ['x.a.example', 'DNS:*.a.example'],
    ['x.y.a.example', 'DNS:*.a.example'], ['fox.example', 'DNS:f*.example.'], ['x.example', 'DNS:*.example'], ['1.2.3.4', 'IP Address:1.2.3.4'],
    ['::1', 'IP Address:0:0:0:0:0:0:0:1'], ['1.2.3.4', 'DNS:1.2.3.4'], ['a.example', 'DNS:"a.example, DNS:b.example"'], ['xn--a.b.example', 'DNS:xn--*.b.example'],
    ['a.example', undefined], ['a..example', 'DNS:a..example'], ['foobar.b.example', 'DNS:f*r.b.example'], ['foobar.b.example', 'DNS:f*o*r.b.example'],
  ];
  for (const [host, subjectaltname] of asked) {
    const error = tls.checkServerIdentity(host, { subject: { CN: 'a.example' }, subjectaltname });
    stage.say('check', `${host} ${subjectaltname ?? ''}`, error && error.code, error && error.reason);
  }
  stage.say('check', 'several CN', tls.checkServerIdentity('b', { subject: { CN: ['a', 'b'] } }));
  stage.say('check', 'no names', tls.checkServerIdentity('b', { subject: {} }).message);
};

const agree = (stage, ofServer, ofClient) => pair(stage, (client, conn) => {
  stage.say('client', 'protocol', client.alpnProtocol);
  stage.say('conn', 'protocol', conn.alpnProtocol);
  conn.resume();
  client.resume().end();
}, ofServer, ofClient);

exports.a_protocol_is_chosen = (stage) => agree(stage, { ALPNProtocols: ['b', 'a'] }, { ALPNProtocols: ['a', 'b', 'c'] });
exports.no_protocol_of_the_server = (stage) => agree(stage, {}, { ALPNProtocols: ['a'] });
exports.no_protocol_of_the_client = (stage) => agree(stage, { ALPNProtocols: ['a'] }, {});

exports.no_common_protocol = (stage) => {
  const server = serve(stage, { ALPNProtocols: ['a'] }, (conn) => { stage.say('conn', 'protocol', conn.alpnProtocol); conn.resume(); }, (where) => {
    const client = dial(stage, where, { ALPNProtocols: ['b'] }, ...EVENTS);
    client.on('secureConnect', () => { stage.say('client', 'protocol', client.alpnProtocol); client.end(); });
    client.resume().on('close', () => server.close());
  });
};

const name_of = (client) => client.getPeerCertificate().subjectaltname;
const ask = (stage, ofServer, prepare = () => {}, servername = 'a.wild.example') => {
  const server = serve(stage, ofServer, (conn) => { stage.say('conn', 'name', conn.servername); conn.resume(); }, (where) => {
    const client = dial(stage, where, { rejectUnauthorized: false, servername }, ...EVENTS);
    client.on('secureConnect', () => { stage.say('client', 'name', name_of(client)); client.end(); });
    client.resume().on('close', () => server.close());
  });
  prepare(server);
};

exports.a_context_for_a_name = (stage) => ask(stage, {}, (server) => server.addContext('*.wild.example', identity(stage, 'elsewhere')));
exports.a_context_for_another_name = (stage) => ask(stage, {}, (server) => server.addContext('wild.example', identity(stage, 'elsewhere')));
exports.the_last_context_counts = (stage) => ask(stage, {}, (server) => {
  server.addContext('a.wild.example', identity(stage, 'stranger'));
  server.addContext('*.wild.example', tls.createSecureContext(identity(stage, 'elsewhere')));
});
exports.a_context_by_a_function = (stage) => ask(stage, {
  SNICallback: (name, done) => { stage.say('function', 'called', name); done(null, tls.createSecureContext(identity(stage, 'elsewhere'))); },
});
exports.no_context_by_a_function = (stage) => ask(stage, { SNICallback: (_, done) => done(null) });
exports.another_certificate_from_now_on = (stage) => ask(stage, {}, (server) => server.setSecureContext(identity(stage, 'elsewhere')));
exports.the_function_fails = (stage) => {
  const fails = (_, done) => done(Object.assign(new Error('mine'), { code: 'MINE' }));
  const server = serve(stage, { SNICallback: fails }, () => stage.say('server', 'unexpected'), (where) => {
    const client = dial(stage, where, {}, 'connect', 'secureConnect', 'close');
    client.on('error', () => {}).on('close', () => server.close());
  });
};
exports.no_name_for_a_context = (stage) => {
  const server = tls.createServer(identity(stage));
  stage.attempt('server', 'addContext', () => server.addContext('', {}));
};

const required = (stage) => ({ requestCert: true, ca: pem(stage, 'ca') });
exports.a_client_with_a_certificate = (stage) => pair(stage, (client, conn) => {
  stage.say('conn', 'verdict', verdict(conn), conn.getPeerCertificate().subjectaltname);
  conn.resume();
  client.resume().end();
}, required(stage), identity(stage, 'client'));

const without = (stage, more) => {
  const server = serve(stage, required(stage), () => stage.say('server', 'unexpected'), (where) => {
    const client = dial(stage, where, more, 'secureConnect', 'error', 'close');
    client.on('close', () => server.close()).resume();
  });
};
exports.a_client_without_a_certificate = (stage) => without(stage, {});
exports.a_client_without_a_certificate_in_version_1_2 = (stage) => without(stage, { maxVersion: 'TLSv1.2' });
exports.a_client_without_a_certificate_is_not_rejected = (stage) => pair(stage, (client, conn) => {
  stage.say('conn', 'verdict', verdict(conn), conn.getPeerCertificate());
  conn.resume();
  client.resume().end();
}, { ...required(stage), rejectUnauthorized: false });
exports.a_client_with_a_strange_certificate = (stage) => {
  const server = serve(stage, required(stage), () => stage.say('server', 'unexpected'), (where) => {
    const client = dial(stage, where, identity(stage, 'stranger'), 'secureConnect', 'close');
    client.on('error', () => {}).on('close', () => server.close()).resume();
  });
};

exports.wrong_options = (stage) => {
  stage.attempt('context', 'version', () => tls.createSecureContext({ minVersion: 'TLSv9' }));
  stage.attempt('context', 'no context', () => tls.connect({ port: 1, secureContext: {} }));
  stage.attempt('context', 'function', () => tls.createServer({ SNICallback: 1 }));
};
