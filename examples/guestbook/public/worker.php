<?php

// SPDX-License-Identifier: MIT
// The worker script: boots once, keeps the database open, and answers requests until the server
// says that there are no more. What a request may change lives in its Request and Response only.

declare(strict_types=1);

require __DIR__ . '/../src/autoload.php';

$app = Guestbook\App::boot();
$answer = static function () use ($app): void {
    $app->handle(Guestbook\Request::fromGlobals())->send();
};

while (frankenphp_handle_request($answer)) {
    // Nothing to tidy up: the server resets superglobals, output and headers between requests.
}
