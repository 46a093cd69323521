// Node's clients: fetch.js http|https|http2|fetch URL read|keep|abort COUNT
const [client, url, way, count] = process.argv.slice(2);
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');
const kept = [];

function take(answer, done, status) {
  if (way === 'read') {
    let size = 0;
    answer.on('data', (chunk) => size += chunk.length).on('end', () => done(size));
    return;
  }
  kept.push(answer);
  if (way === 'abort') answer.destroy();
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
  setTimeout(() => process.exit(0), 300);
})();
