// Keeps COUNT responses of http.get that nobody reads: node kept.js URL COUNT.
const http = require('http');

const kept = [];

function fetchOne(url) {
  return new Promise((resolve) => {
    http.get(url, (response) => { // the request
      kept.push(response);
      resolve();
    });
  });
}

async function main() {
  for (let i = 0; i < Number(process.argv[3]); i++) await fetchOne(process.argv[2]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  console.log('done');
  process.exit(0);
}

main();
