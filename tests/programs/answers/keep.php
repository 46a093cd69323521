<?php
// Keeps answers that nobody wants: keep.php streams URL COUNT [upgrade]. Until it is killed: the engine's end would close them.
[, , $url, $count] = $argv;
$options = ['ignore_errors' => true, 'follow_location' => 0];
if (isset($argv[4])) {
    $options['header'] = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==";
}
$kept = [];
for ($i = 0; $i < (int) $count; $i++) {
    $kept[] = fopen($url, 'rb', false, stream_context_create(['http' => $options])); // streams
    echo explode(' ', $http_response_header[0])[1], "\n";
}
sleep(600);
