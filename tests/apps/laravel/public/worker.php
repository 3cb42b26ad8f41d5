<?php

// SPDX-License-Identifier: MIT
// Worker mode, as Laravel Octane's script for FrankenPHP does it: the framework boots once, from
// where the server says that it is, and each request gets a clone of it (app/Worker/Sandbox.php).

declare(strict_types=1);

use App\Worker\Sandbox;
use Symfony\Component\HttpFoundation\Response;

if (!($_SERVER['FRANKENPHP_WORKER'] ?? false) || !function_exists('frankenphp_handle_request')) {
    echo 'this script needs a server in worker mode';
    exit(1);
}

ignore_user_abort(true);
ini_set('display_errors', 'stderr');
$_ENV['APP_RUNNING_IN_CONSOLE'] = false;

$base = $_SERVER['APP_BASE_PATH'] ?? $_ENV['APP_BASE_PATH'] ?? null;
if (!is_string($base)) {
    echo 'nobody says where the application is';
    exit(11);
}

try {
    require "$base/bootstrap/autoload.php";
    $sandbox = Sandbox::boot(require "$base/bootstrap/app.php");
} catch (Throwable $trouble) {
    fwrite(STDERR, get_class($trouble) . ": {$trouble->getMessage()}\n");
    exit(1);
}

$most = (int) ($_ENV['MAX_REQUESTS'] ?? $_SERVER['MAX_REQUESTS'] ?? 1000);
$limit = $_ENV['REQUEST_MAX_EXECUTION_TIME'] ?? $_SERVER['REQUEST_MAX_EXECUTION_TIME'] ?? null;
if ($limit !== null) {
    set_time_limit((int) $limit);
}

$answer = static function () use ($sandbox): void {
    try {
        $sandbox->answer();
    } catch (Throwable $trouble) {
        report($trouble);
        (new Response('Internal Server Error', 500, ['Content-Type' => 'text/plain']))->send();
    }
};

try {
    for ($count = 0; $count < $most && frankenphp_handle_request($answer); $count++) {
        // Until the server replaces this process.
    }
} finally {
    gc_collect_cycles();
}
