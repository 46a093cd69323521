// Node's clients: fetch.js http|https|http2|fetch URL read|keep|abort COUNT. What is kept stays until there is a file "stop".
const fs = require('fs');
const [client, url, way, count] = process.argv.slice(2);
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');
const kept = [];

function take(answer, done, status) {
  if (way === 'read') {
    let size = 0;
    answer.on('data', (chunk) => size += chunk.length);
    // a connection for one request is over when it is closed, not when its body is
    const socket = client === 'http2' ? answer : answer.socket;
    socket.on('close', () => done(size));
    return;
  }
  kept.push(answer);
  if (way === 'abort') {
    answer.socket.on('close', () => done(status));
    answer.destroy();
    return;
  }
  done(status);
}

const one = {
  http: () => new Promise((done, fail) => {
    require('http').get(url, {agent: false}, (answer) => take(answer, done, answer.statusCode)).on('error', fail);
  }),
  https: () => new Promise((done, fail) => {
    require('https').get(url, {agent: false}, (answer) => take(answer, done, answer.statusCode)).on('error', fail);
  }),
  http2: () => new Promise((done, fail) => {
    kept.session = kept.session || require('http2').connect(url);
    const stream = kept.session.request({':path': new URL(url).pathname});
    stream.on('response', (head) => take(stream, done, head[':status'])).on('error', fail);
    stream.end();
  }),
  fetch: async () => {
    const answer = await fetch(url);
    if (way === 'read') return (await answer.arrayBuffer()).byteLength;
    kept.push(answer);
    return answer.status;
  },
}[client];

(async () => {
  for (let i = 0; i < Number(count); i++) console.log(await one());
  console.log('done');
  if (way !== 'keep') process.exit(0);
  setInterval(() => fs.existsSync('stop') && process.exit(0), 50); // meanwhile the loop reads ahead until its buffers are full
})();
