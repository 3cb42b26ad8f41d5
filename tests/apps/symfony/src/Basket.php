<?php

// SPDX-License-Identifier: MIT
// A service with state of the request in hand, which the framework resets before the next one.

declare(strict_types=1);

namespace App;

use Symfony\Contracts\Service\ResetInterface;

final class Basket implements ResetInterface
{
    /** @var list<string> */
    private array $items = [];

    /** @return list<string> */
    public function add(string $item): array
    {
        $this->items[] = $item;
        return $this->items;
    }

    public function reset(): void
    {
        $this->items = [];
    }
}
