<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/** What a client asked for, read from the superglobals once so that nothing else has to. */
final class Request
{
    /**
     * @param array<string, string> $query
     * @param array<string, string> $form
     * @param array<string, string> $cookies
     */
    public function __construct(
        public readonly string $method,
        public readonly string $path,
        public readonly array $query,
        public readonly array $form,
        public readonly array $cookies,
        public readonly bool $secure,
    ) {
    }

    public static function fromGlobals(): self
    {
        $target = (string) ($_SERVER['REQUEST_URI'] ?? '/');
        return new self(
            (string) ($_SERVER['REQUEST_METHOD'] ?? 'GET'),
            rawurldecode(explode('?', $target, 2)[0]),
            self::strings($_GET),
            self::strings($_POST),
            self::strings($_COOKIE),
            !in_array($_SERVER['HTTPS'] ?? '', ['', 'off'], true),
        );
    }

    /**
     * `?name[]=x` makes PHP build an array: no field of ours is one.
     *
     * @param array<mixed> $values
     * @return array<string, string>
     */
    private static function strings(array $values): array
    {
        return array_filter($values, is_string(...));
    }
}
