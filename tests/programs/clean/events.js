// Reads an event stream to its end with fetch: events.js URL.
(async () => {
  const reader = (await fetch(process.argv[2])).body.getReader();
  let text = '';
  for (let part; !(part = await reader.read()).done;) text += Buffer.from(part.value).toString();
  console.log(text.split('\n').filter((line) => line.startsWith('data:')).length);
})();
