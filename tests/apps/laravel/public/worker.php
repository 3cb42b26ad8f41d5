<?php

// SPDX-License-Identifier: MIT
// Worker mode: the framework boots once; each request gets a clone of it (app/Worker/Sandbox.php).

declare(strict_types=1);

use App\Worker\Sandbox;

require dirname(__DIR__) . '/bootstrap/autoload.php';

$sandbox = Sandbox::boot(require dirname(__DIR__) . '/bootstrap/app.php');
$answer = static function () use ($sandbox): void {
    $sandbox->answer();
};

/** Cycles between container, kernel and requests are freed now and then, not at each request. */
const REQUESTS_PER_COLLECTION = 500;

for ($count = 1; frankenphp_handle_request($answer); $count++) {
    if ($count % REQUESTS_PER_COLLECTION === 0) {
        gc_collect_cycles();
    }
}
