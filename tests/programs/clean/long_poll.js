// Asks again and again for what comes late: long_poll.js URL TIMES.
(async () => {
  for (let i = 0; i < Number(process.argv[3]); i++) console.log((await (await fetch(process.argv[2])).arrayBuffer()).byteLength);
})();
