<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/** One line of the book. */
final class Entry
{
    public function __construct(
        public readonly int $id,
        public readonly string $name,
        public readonly string $message,
        public readonly int $written,
        public readonly string $mark,
    ) {
    }

    /** @return array<string, int|string> without the writer's mark */
    public function toPublicArray(): array
    {
        return [
            'id' => $this->id,
            'name' => $this->name,
            'message' => $this->message,
            'written' => gmdate('Y-m-d\TH:i:s\Z', $this->written),
        ];
    }
}
