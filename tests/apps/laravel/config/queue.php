<?php

// SPDX-License-Identifier: MIT
// Jobs run at once.

declare(strict_types=1);

return ['default' => 'sync', 'connections' => ['sync' => ['driver' => 'sync']]];
