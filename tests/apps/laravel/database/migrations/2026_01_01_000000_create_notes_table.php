<?php

// SPDX-License-Identifier: MIT
// The one table.

declare(strict_types=1);

use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\Schema;

return new class () extends Migration {
    public function up(): void
    {
        Schema::create('notes', static function (Blueprint $table): void {
            $table->id();
            $table->string('text');
            $table->string('author');
            $table->timestamps();
        });
    }
};
