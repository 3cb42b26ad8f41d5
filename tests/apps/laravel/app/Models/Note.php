<?php

// SPDX-License-Identifier: MIT
// An Eloquent model on SQLite.

declare(strict_types=1);

namespace App\Models;

use Illuminate\Database\Eloquent\Model;

final class Note extends Model
{
    protected $fillable = ['text', 'author'];
}
