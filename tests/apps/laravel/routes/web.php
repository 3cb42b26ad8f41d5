<?php

// SPDX-License-Identifier: MIT
// Pages, with sessions and form tokens.

declare(strict_types=1);

use App\Http\Controllers\NoteController;
use Illuminate\Support\Facades\Route;

Route::get('/', [NoteController::class, 'index']);
Route::post('/notes', [NoteController::class, 'store']);
Route::get('/throw', static fn () => throw new RuntimeException('on purpose'));
