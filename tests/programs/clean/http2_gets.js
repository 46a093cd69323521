// Clean work over HTTP/2 in cleartext: `http2_gets.js URL COUNT`, all at once on one session.
const http2 = require('node:http2');
const url = new URL(process.argv[2]);
const count = Number(process.argv[3]);
const session = http2.connect(url.origin);
let left = count, total = 0;
for (let i = 0; i < count; i++) {
    const stream = session.request({':path': url.pathname});
    stream.on('data', (part) => { total += part.length; });
    stream.on('end', () => {
        if (--left === 0) { console.log(total); session.close(); }
    });
    stream.end();
}
