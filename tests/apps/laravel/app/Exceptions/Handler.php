<?php

// SPDX-License-Identifier: MIT
// The framework knows how to show and log an exception.

declare(strict_types=1);

namespace App\Exceptions;

use Illuminate\Foundation\Exceptions\Handler as ExceptionHandler;

final class Handler extends ExceptionHandler
{
}
