<?php

// SPDX-License-Identifier: MIT
// Per process and gone with it.

declare(strict_types=1);

return ['default' => 'array', 'stores' => ['array' => ['driver' => 'array']], 'prefix' => 'notes'];
