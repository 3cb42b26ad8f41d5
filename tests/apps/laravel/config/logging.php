<?php

// SPDX-License-Identifier: MIT
// To a file, where a failing test can show it.

declare(strict_types=1);

return [
    'default' => 'single',
    'channels' => ['single' => ['driver' => 'single', 'path' => storage_path('logs/laravel.log')]],
];
