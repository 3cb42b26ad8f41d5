<?php

// SPDX-License-Identifier: MIT
// Classic mode: the kernel is built for each request.

declare(strict_types=1);

use Symfony\Component\HttpFoundation\Request;

$kernel = require dirname(__DIR__) . '/bootstrap.php';

$request = Request::createFromGlobals();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
