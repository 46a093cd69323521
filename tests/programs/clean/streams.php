<?php
// A clean client (but for redirects, whose bodies PHP never reads) on PHP's stream wrappers: file_get_contents and fopen, read to the end and closed.
$base = $argv[1];
$context = stream_context_create([
    'http' => ['ignore_errors' => true, 'protocol_version' => 1.1, 'header' => 'Connection: close'],
    'ssl' => ['verify_peer' => false, 'verify_peer_name' => false],
]);
foreach (['/bytes/262144', '/chunked/100000', '/close/50000', '/status/404'] as $path) {
    $body = file_get_contents($base . $path, false, $context);
    echo $path, ' ', strlen($body), ' ', md5($body), "\n";
}
$stream = fopen("$base/bytes/1000000", 'r', false, $context);
$size = 0;
while (!feof($stream)) {
    $size += strlen(fread($stream, 10000));
}
fclose($stream);
echo "streamed $size\n";
