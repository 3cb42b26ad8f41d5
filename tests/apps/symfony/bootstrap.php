<?php

// SPDX-License-Identifier: MIT
// Debian ships the framework without Composer; App\ is the folder src. Gives the kernel.

declare(strict_types=1);

require_once '/usr/share/php/Symfony/Bundle/FrameworkBundle/autoload.php';

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'App\\')) {
        require __DIR__ . '/src/' . strtr(substr($class, 4), '\\', '/') . '.php';
    }
});

return new App\Kernel('prod', false);
