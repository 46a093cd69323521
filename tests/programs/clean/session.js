// An agent kept for the life of the program: session.js URL ROUNDS. Between rounds it rests for longer than its server keeps idle
// connections. Stays until there is a file "stop".
const fs = require('fs');
const http = require('http');

const [url, rounds] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true});
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const get = () => new Promise((done, fail) => {
  http.get(url, {agent}, (answer) => {
    let size = 0;
    answer.on('data', (chunk) => size += chunk.length).on('end', () => done(size));
  }).on('error', fail);
});

(async () => {
  for (let round = 0; round < Number(rounds); round++) {
    for (let i = 0; i < 4; i++) console.log(await get());
    await sleep(1600);
  }
  while (!fs.existsSync('stop')) await sleep(50);
  process.exit(0);
})();
