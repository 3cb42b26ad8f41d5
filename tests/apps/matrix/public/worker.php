<?php

// SPDX-License-Identifier: MIT
// Worker mode of the matrix: the same actions, one boot for many requests.

declare(strict_types=1);

require __DIR__ . '/../matrix.php';

$count = 0;
$handle = static function () use (&$count): void {
    header('X-Count: ' . ++$count);
    Matrix\handle();
};
while (frankenphp_handle_request($handle)) {
    if (isset($afterwards)) {
        $afterwards();
        unset($afterwards);
    }
}
