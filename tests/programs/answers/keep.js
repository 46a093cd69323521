// Keeps answers that nobody wants: keep.js http|fetch URL COUNT [upgrade]. Until there is a file "stop".
const fs = require('fs');
const http = require('http');

const [client, url, count, upgrade] = process.argv.slice(2);
const kept = [];

// As WebSocket libraries ask, whose users are given what came instead of an upgrade.
const webSocket = {Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'AQIDBAUGBwgJCgsMDQ4PEA=='};

const ask = {
  http: () => new Promise((done, fail) => {
    http.get(url, {agent: false, headers: upgrade ? webSocket : {}}, (answer) => done(answer)).on('error', fail);
  }),
  fetch: () => fetch(url, {redirect: 'manual'}),
}[client];

(async () => {
  for (let i = 0; i < Number(count); i++) {
    const answer = await ask();
    kept.push(answer);
    console.log(answer.statusCode || answer.status);
  }
  setInterval(() => fs.existsSync('stop') && process.exit(0), 50);
})();
