// Clean requests while the collector runs, functions are compiled and workers come and go: node churn.js HTTP-URL HTTPS-URL COUNT.
const http = require('http');
const https = require('https');
const {Worker, isMainThread, workerData, parentPort} = require('worker_threads');
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');
const sizes = new Set();
let done = 0;

function deep(depth, work) {
  return depth ? deep(depth - 1, work) : work();
}

function get(library, url, options) {
  return new Promise((resolve, fail) => {
    // code that is new each time, and at another depth
    const ask = new Function('library', 'url', 'options', 'take', `/* ${Math.random()} */ return library.get(url, options, take);`);
    deep(done % 50, () => ask(library, url, options, (answer) => {
      let size = 0;
      answer.on('data', (chunk) => size += chunk.length);
      answer.on('end', () => resolve(size));
    })).on('error', fail);
  });
}

async function work(plain, secure, count) {
  const agents = [new http.Agent({keepAlive: true, maxSockets: 2}), new https.Agent({keepAlive: true, maxSockets: 2})];
  for (let i = 0; i < count; i++) {
    const some = [
      get(http, plain, {agent: agents[0]}), get(http, plain, {agent: agents[0]}), get(http, plain, {agent: agents[0]}),
      get(https, secure, {agent: agents[1]}), get(https, secure, {agent: agents[1]}), get(http, plain, {agent: false}),
    ];
    if (global.fetch) some.push(fetch(plain).then((answer) => answer.arrayBuffer()).then((body) => body.byteLength));
    for (const size of await Promise.all(some)) {
      sizes.add(size);
      done++;
    }
    if (global.gc) global.gc();
  }
  for (const agent of agents) agent.destroy();
}

async function main([plain, secure, count]) {
  const workers = [0, 1].map(() => new Promise((resolve, fail) => {
    const worker = new Worker(__filename, {workerData: [plain, secure, count]});
    worker.on('message', resolve);
    worker.on('error', fail);
  }));
  await work(plain, secure, Number(count));
  for (const [worked, seen] of await Promise.all(workers)) {
    done += worked;
    for (const size of seen) sizes.add(size);
  }
  const each = global.fetch ? 7 : 6;
  console.log(done === 3 * each * Number(count), [...sizes].join());
}

if (isMainThread) main(process.argv.slice(2));
else work(...workerData.slice(0, 2), Number(workerData[2])).then(() => parentPort.postMessage([done, [...sizes]]));
