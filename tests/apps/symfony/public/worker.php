<?php

// SPDX-License-Identifier: MIT
// Worker mode as symfony/runtime does it for FrankenPHP: one kernel for many requests, what the boot
// found in $_SERVER added to each request's, and the work after an answer done between two requests.

declare(strict_types=1);

use Symfony\Component\HttpFoundation\Request;

if (!($_SERVER['FRANKENPHP_WORKER'] ?? false) || !function_exists('frankenphp_handle_request')) {
    echo 'this script needs a server in worker mode';
    exit(1);
}

ignore_user_abort(true);

$kernel = require dirname(__DIR__) . '/bootstrap.php';
$boot = ['APP_RUNTIME_MODE' => 'web=1&worker=1'];
foreach ($_SERVER as $name => $value) {
    if (!str_starts_with($name, 'HTTP_')) {
        $boot[$name] ??= $value;
    }
}

$request = $response = null;
$answer = static function () use ($kernel, $boot, &$request, &$response): void {
    $_SERVER += $boot;
    $request = Request::createFromGlobals();
    $response = $kernel->handle($request);
    $response->send();
};

$most = (int) ($_SERVER['FRANKENPHP_LOOP_MAX'] ?? 500);
for ($served = 1, $more = true; $more; $served++) {
    $more = frankenphp_handle_request($answer);
    if ($request !== null && $response !== null) {
        $kernel->terminate($request, $response);
    }
    gc_collect_cycles();
    $more = $more && ($most <= 0 || $served < $most);
}
