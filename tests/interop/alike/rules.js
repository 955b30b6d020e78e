'use strict';
const TEXTS = ['1.2.3.4', '01.2.3.4', '1.2.3', '1.2.3.256', '1.2.3.4 ', '', '::', '::1', '::ffff:1.2.3.4', '::FFFF:1.2.3.4', 'fe80::1%lo', 'fe80::1%', 'fe80::1%1', '1::2::3', '12345::', '[::1]', '0x1.2.3.4', '1.2.3.4%lo', '::1.2.3.4', 'localhost'];

exports.is_ip = (stage, net) => {
  for (const text of TEXTS) stage.say('net', text, net.isIP(text), net.isIPv4(text), net.isIPv6(text));
  for (const [n, value] of [null, 5, true, {}, []].entries()) stage.say('net', `no text ${n}`, net.isIP(value), net.isIPv4(value), net.isIPv6(value));
};

const ADDRESSES = [['1.1.1.1', 'ipv4'], ['1.1.1.2', 'ipv4'], ['1.1.1.9', 'ipv4'], ['::ffff:1.1.1.2', 'ipv6'], ['::ffff:101:102', 'ipv6'], ['::FFFF:1.1.1.2', 'ipv6'],
  ['::1.1.1.2', 'ipv6'], ['10.0.0.1', 'ipv4'], ['10.255.0.1', 'ipv4'], ['::ffff:10.0.0.1', 'ipv6'], ['11.0.0.1', 'ipv4'], ['fe80::1', 'ipv6'], ['fe80::2', 'ipv6'], ['fe80::1%lo', 'ipv6'],
  ['2001:db8::5', 'ipv6'], ['2001:db8::', 'ipv6'], ['2001:db8:0:1::', 'ipv6'], ['nonsense', 'ipv4'], ['1.1.1.2', 'ipv6'], ['fe80::1', 'ipv4'], ['1.1.1.2', 'IPv4'], ['1.1.1.2']];

const filled = (net) => {
  const list = new net.BlockList();
  list.addAddress('1.1.1.2');
  list.addAddress('fe80::1', 'ipv6');
  list.addRange('1.1.1.8', '1.1.1.10');
  list.addSubnet('10.0.0.0', 8);
  list.addSubnet('2001:db8::', 64, 'ipv6');
  return list;
};

exports.blocked = (stage, net) => {
  const list = filled(net);
  for (const address of ADDRESSES) stage.attempt('list', address.join(' '), () => list.check(...address));
  for (const address of ADDRESSES.slice(0, -5)) stage.attempt('list', `as object ${address}`, () => list.check(new net.SocketAddress({ address: address[0], family: address[1] })));
};

exports.blocked_by_ipv6_rules = (stage, net) => {
  const list = new net.BlockList();
  list.addAddress('::ffff:1.1.1.2', 'ipv6');
  list.addSubnet('::ffff:10.0.0.0', 104, 'ipv6');
  list.addRange('::ffff:1.1.1.8', '::ffff:1.1.1.10', 'ipv6');
  for (const address of ADDRESSES.slice(0, 11)) stage.attempt('list', address.join(' '), () => list.check(...address));
};

// Sorted: the order depends on the version of Node.
exports.rules = (stage, net) => { stage.say('list', 'rules', [...filled(net).rules].sort(), new net.BlockList().rules); };

exports.blocked_wrongly = (stage, net) => {
  const list = new net.BlockList();
  stage.attempt('list', 'a', () => list.addAddress('nonsense'));
  stage.attempt('list', 'b', () => list.addAddress('::1'));
  stage.attempt('list', 'c', () => list.addAddress('1.1.1.1', 'ipv6'));
  stage.attempt('list', 'd', () => list.addAddress(5));
  stage.attempt('list', 'e', () => list.addAddress('1.1.1.1', 5));
  stage.attempt('list', 'f', () => list.addAddress('1.1.1.1', 'nonsense'));
  stage.attempt('list', 'g', () => list.addRange('1.1.1.2', '1.1.1.1'));
  stage.attempt('list', 'h', () => list.addRange('1.1.1.2', 'nonsense'));
  stage.attempt('list', 'i', () => list.addSubnet('1.1.1.2', 33));
  stage.attempt('list', 'j', () => list.addSubnet('1.1.1.2', -1));
  stage.attempt('list', 'k', () => list.addSubnet('1.1.1.2', 'x'));
  stage.attempt('list', 'l', () => list.addSubnet('1.1.1.2', 1.5));
  stage.attempt('list', 'm', () => list.addSubnet('::', 129, 'ipv6'));
  stage.attempt('list', 'n', () => list.check(5));
  stage.attempt('list', 'o', () => list.check('1.1.1.1', 5));
  stage.attempt('list', 'p', () => list.check('1.1.1.1', 'nonsense'));
  stage.say('list', 'rules', list.rules);
};

exports.addresses = (stage, net) => {
  const given = [{}, { address: '1.2.3.4' }, { address: '1.2.3.4', port: 80 }, { family: 'ipv6' }, { address: '::1', family: 'ipv6', port: 80, flowlabel: 5 }, { family: 'IPv6' },
    { address: '::0001', family: 'ipv6' }, { address: '::1' }, { address: '1.2.3.4', family: 'ipv6' }, { family: 'nonsense' }, { family: 5 }, { address: 5 }, { port: -1 }, { port: 65536 }, { port: 'x' },
    { flowlabel: -1, family: 'ipv6' }, { flowlabel: 'x', family: 'ipv6' }, { address: 'nonsense' }, { flowlabel: 5 }];
  given.forEach((options, n) => stage.attempt('address', `${n}`, () => { const made = new net.SocketAddress(options); return [made.address, made.family, made.port, made.flowlabel]; }));
  const none = new net.SocketAddress();
  stage.say('address', 'none', none.address, none.family, none.port, none.flowlabel);
};
