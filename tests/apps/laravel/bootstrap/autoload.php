<?php

// SPDX-License-Identifier: MIT
// Debian ships the framework without Composer: its autoloader finds all dependencies, and App\
// is a folder of ours.

declare(strict_types=1);

require_once '/usr/share/php/Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'App\\')) {
        require dirname(__DIR__) . '/app/' . strtr(substr($class, 4), '\\', '/') . '.php';
    }
});
