<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/** What somebody typed into the form, and what is wrong with it. */
final class Draft
{
    public const NAME_MAX = 60;
    public const MESSAGE_MAX = 1000;

    /** @param array<string, string> $errors by field */
    private function __construct(
        public readonly string $name,
        public readonly string $message,
        public readonly array $errors,
    ) {
    }

    public static function empty(): self
    {
        return new self('', '', []);
    }

    /** @param array<string, string> $form */
    public static function from(array $form): self
    {
        $name = trim(preg_replace('/\s+/u', ' ', $form['name'] ?? '') ?? '');
        $message = trim(str_replace("\r\n", "\n", $form['message'] ?? ''));
        $errors = array_filter([
            'name' => self::problem($name, 'your name', self::NAME_MAX),
            'message' => self::problem($message, 'a message', self::MESSAGE_MAX),
        ]);
        return new self($name, $message, $errors);
    }

    private static function problem(string $value, string $what, int $max): ?string
    {
        $length = preg_match_all('/./su', $value); // characters; false when it is not UTF-8
        return match (true) {
            $length === false => 'This is not valid text.',
            $length === 0 => "Please write $what.",
            $length > $max => "Please use at most $max characters; this has $length.",
            default => null,
        };
    }
}
