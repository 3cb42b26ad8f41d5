<?php
// SPDX-License-Identifier: MIT
require __DIR__ . '/cost.php';
