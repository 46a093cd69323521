// next.js#43493: fetch is asked for its status alone, the body is never read: its socket is never given back.
async function revalidate(url) {
  const response = await fetch(url);
  return response.status;
}

async function main() {
  for (let i = 0; i < 5; i++) await revalidate(process.argv[2]);
  setTimeout(() => process.exit(0), 500);
}

main();
