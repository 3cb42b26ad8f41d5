<?php

// SPDX-License-Identifier: MIT
// Classic mode of the matrix.

declare(strict_types=1);

require __DIR__ . '/../matrix.php';

Matrix\handle();
