<?php
// SPDX-License-Identifier: MIT
// The same, booted once.
while (frankenphp_handle_request(static fn () => require __DIR__ . '/cost.php')) {
}
