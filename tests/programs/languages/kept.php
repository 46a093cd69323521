<?php
// Reads a line of COUNT responses and keeps the streams, from a method that a closure calls.
class Client
{
    private array $kept = [];

    public function fetch(string $url): void
    {
        $context = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]);
        $stream = fopen($url, 'r', false, $context); // the request
        $this->kept[] = [$stream, fread($stream, 16)];
    }
}

function work(Client $client, string $url, int $count): void
{
    $step = function () use ($client, $url) {
        $client->fetch($url);
    };
    for ($i = 0; $i < $count; $i++) {
        $step();
    }
}

$client = new Client();
work($client, $argv[1], (int) $argv[2]);
echo "done\n";
exit(0);
