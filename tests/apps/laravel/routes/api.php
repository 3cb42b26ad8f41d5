<?php

// SPDX-License-Identifier: MIT
// JSON, without sessions.

declare(strict_types=1);

use App\Http\Controllers\NoteController;
use Illuminate\Support\Facades\Route;

Route::get('/hello', static fn () => ['hello' => 'world']);
Route::get('/notes', [NoteController::class, 'list']);
Route::get('/config', static function (): array {
    $seen = config('app.seen', 0);
    config(['app.seen' => $seen + 1]); // must be gone at the next request
    return ['seen' => $seen];
});
