<?php

// SPDX-License-Identifier: MIT
// Guestbook\Name is src/Name.php. A larger application would use Composer's loader.

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    $prefix = 'Guestbook\\';
    if (str_starts_with($class, $prefix)) {
        require __DIR__ . '/' . substr($class, strlen($prefix)) . '.php';
    }
});
