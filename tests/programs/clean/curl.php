<?php
// A clean client on PHP's curl extension: one handle for several requests, then a multi handle.
$base = $argv[1];
$options = [CURLOPT_RETURNTRANSFER => true, CURLOPT_SSL_VERIFYPEER => false, CURLOPT_SSL_VERIFYHOST => 0,
    CURLOPT_FOLLOWLOCATION => true];
$handle = curl_init();
curl_setopt_array($handle, $options);
foreach (['/bytes/262144', '/chunked/100000', '/close/50000', '/status/404', '/redirect'] as $path) {
    curl_setopt($handle, CURLOPT_URL, $base . $path);
    $body = curl_exec($handle);
    echo $path, ' ', curl_getinfo($handle, CURLINFO_HTTP_CODE), ' ', strlen($body), "\n";
}
curl_close($handle);
$multi = curl_multi_init();
$handles = [];
for ($i = 0; $i < 4; $i++) {
    $handles[$i] = curl_init("$base/bytes/10000$i");
    curl_setopt_array($handles[$i], $options);
    curl_multi_add_handle($multi, $handles[$i]);
}
do {
    $status = curl_multi_exec($multi, $running);
    if ($running) {
        curl_multi_select($multi);
    }
} while ($running && $status == CURLM_OK);
foreach ($handles as $handle) {
    echo strlen(curl_multi_getcontent($handle)), "\n";
    curl_multi_remove_handle($multi, $handle);
}
curl_multi_close($multi);
