<?php

// SPDX-License-Identifier: MIT
// One SQLite file under storage/.

declare(strict_types=1);

return [
    'default' => 'sqlite',
    'connections' => [
        'sqlite' => ['driver' => 'sqlite', 'database' => storage_path('notes.sqlite'), 'prefix' => ''],
    ],
    'migrations' => 'migrations',
];
