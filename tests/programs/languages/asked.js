// Requests whose answers are kept, in all ways that Node has: node asked.js WAY,... HTTP-URL HTTPS-URL SOCKET COUNT.
// Each line that asks tells its own place: "WAY line".
const http = require('http');
const https = require('https');
const net = require('net');
const [ways, plain, secure, path, count] = process.argv.slice(2);
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');
const kept = [];
let number = 0;

function tell(way, url) {
  const [, line] = /asked\.js:(\d+):\d+\)?$/.exec(new Error().stack.split('\n')[2]);
  console.log(way, line);
  return url;
}

const fresh = (url) => `${url}?${++number}`;

function keep(done) {
  return (answer) => {
    kept.push(answer);
    answer.once('readable', () => done());
  };
}

function drain(done) {
  return (answer) => {
    answer.resume();
    answer.on('end', () => setImmediate(done));
  };
}

const small = (url) => url.replace(/\/bytes\/\d+/, '/bytes/100');

class Client {
  ask(url, done) {
    http.get(tell('method', url), {agent: false}, keep(done));
  }
}

async function waited(url) {
  await new Promise(setImmediate);
  return new Promise((done) => http.get(tell('waited', url), {agent: false}, keep(done)));
}

async function fetched(url) {
  const answer = await fetch(tell('fetch', url));
  kept.push(answer);
}

async function fetchedAgain(url) {
  const before = await fetch(small(url));
  await before.arrayBuffer();
  await new Promise((done) => setTimeout(done, 20));
  const answer = await fetch(tell('fetch-again', url));
  kept.push(answer);
}

function raw(way, options, url) {
  return new Promise((done) => {
    const socket = net.connect(options(tell(way, url)), () => {
      socket.write(`GET ${new URL(url).pathname}${new URL(url).search} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      socket.once('readable', done);
    });
    kept.push(socket);
  });
}

// Somebody else's connection: it was asked for there, the request here.
function again(way, library, which, url) {
  return new Promise((done) => {
    library.get(small(url), {agent: which}, drain(() => {
      library.get(tell(way, url), {agent: which}, keep(() => {
        kept.at(-1).on('close', done);
        kept.at(-1).socket.unref();
        done();
      }));
    }));
  });
}

const one = {
  method: (url) => new Promise((done) => new Client().ask(url, done)),
  byname: (url) => new Promise((done) => http.get(tell('byname', url.replace('127.0.0.1', 'localhost')), {agent: false}, keep(done))),
  posted: (url) => new Promise((done) => {
    const request = http.request(tell('posted', url), {method: 'POST', agent: false}, keep(done));
    setTimeout(() => request.end('body'), 5);
  }),
  waited,
  https: (url) => new Promise((done) => https.get(tell('https', url), {agent: false}, keep(done))),
  again: (url) => again('again', http, new http.Agent({keepAlive: true}), url),
  'https-again': (url) => again('https-again', https, new https.Agent({keepAlive: true}), url),
  fetch: fetched,
  'fetch-again': fetchedAgain,
  socket: (url) => raw('socket', () => ({host: '127.0.0.1', port: new URL(url).port}), url),
  unix: (url) => new Promise((done) => http.get({socketPath: path, path: new URL(tell('unix', url)).pathname + new URL(url).search, agent: false}, keep(done))),
  worker: (url) => new Promise((done) => {
    const {Worker} = require('worker_threads');
    const worker = new Worker(__filename, {workerData: url, argv: process.argv.slice(2)});
    worker.on('message', done);
    kept.push(worker);
  }),
};

async function inWorker({workerData, parentPort}) {
  await new Promise((done) => http.get(tell('worker', workerData), {agent: false}, keep(done)));
  parentPort.postMessage('done');
  setInterval(() => {}, 1000);
}

async function main() {
  for (let i = 0; i < Number(count); i++)
    for (const way of ways.split(',')) await one[way](fresh(way.startsWith('https') ? secure : plain));
  await new Promise((done) => setTimeout(done, 300));
  console.log('done');
  // an orderly exit would close what its threads have open
  if (ways.includes('worker')) process.kill(process.pid, 'SIGKILL');
  process.exit(0);
}

const threads = require('worker_threads');
if (threads.isMainThread) main();
else inWorker(threads);
