<?php

// SPDX-License-Identifier: MIT
// A script that is asked for by its own name: /direct.php, /direct.php/path/info.

declare(strict_types=1);

require __DIR__ . '/../matrix.php';

Matrix\globals();
