<?php

// SPDX-License-Identifier: MIT
// The front controller of classic mode: one request, everything built anew.

declare(strict_types=1);

require __DIR__ . '/../src/autoload.php';

Guestbook\App::boot()->handle(Guestbook\Request::fromGlobals())->send();
