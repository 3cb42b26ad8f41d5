<?php
// SPDX-License-Identifier: MIT
// An application of known cost: sleeps, burns CPU time, and says what it measured itself.
$cpu_ms = static function (): float {
    $usage = getrusage();
    return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1e3
        + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e3;
};

$begun = hrtime(true);
$before = $cpu_ms();
usleep((int) (($_GET['sleep_ms'] ?? 0) * 1000));
while ($cpu_ms() - $before < ($_GET['burn_ms'] ?? 0)) {
}
if (isset($_GET['after_ms'])) {
    echo str_repeat(' ', 10);
    fastcgi_finish_request();
    usleep((int) ($_GET['after_ms'] * 1000));
    return;
}
header('Content-Type: application/json');
echo json_encode(['wall_s' => (hrtime(true) - $begun) / 1e9, 'cpu_s' => ($cpu_ms() - $before) / 1e3]);
