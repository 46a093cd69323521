<?php
// PHP's HTTP clients: fetch.php streams|curl URL read|keep COUNT
[, $client, $url, $way, $count] = $argv;
$kept = [];

function with_streams(string $url, string $way): void
{
    global $kept;
    $context = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]);
    $stream = fopen($url, 'rb', false, $context);
    $kept[] = $stream;
    if ($way === 'read') {
        echo strlen(stream_get_contents($stream)), "\n";
        fclose($stream);
    }
}

function with_curl(string $url, string $way): void
{
    global $kept;
    $handle = curl_init($url);
    curl_setopt($handle, CURLOPT_SSL_VERIFYPEER, false);
    curl_setopt($handle, CURLOPT_SSL_VERIFYHOST, false);
    if (getenv('HTTP2')) {
        $how = str_starts_with($url, 'https') ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
        curl_setopt($handle, CURLOPT_HTTP_VERSION, $how);
    }
    if ($way === 'read') {
        curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
        echo strlen(curl_exec($handle)), "\n";
        curl_close($handle);
        return;
    }
    $multi = curl_multi_init();
    $paused = false;
    curl_setopt($handle, CURLOPT_WRITEFUNCTION, function ($handle, $data) use (&$paused) {
        $paused = true;
        return 0x10000001; // CURL_WRITEFUNC_PAUSE
    });
    curl_multi_add_handle($multi, $handle);
    for ($i = 0; $i < 500 && !$paused; $i++) {
        curl_multi_exec($multi, $running);
        curl_multi_select($multi, 0.05);
    }
    $kept[] = [$multi, $handle];
}

for ($i = 0; $i < (int) $count; $i++) {
    ('with_' . $client)($url, $way);
}
if ($way === 'keep') { // the engine's end would close what is kept
    echo "kept\n";
    sleep(600);
}
