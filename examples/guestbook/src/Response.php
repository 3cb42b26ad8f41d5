<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/** An answer as a value; send() is the only place that talks to the server. */
final class Response
{
    /** No inline scripts or styles, nothing from elsewhere, no framing. */
    private const POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

    /** @param array<string, string> $headers */
    private function __construct(
        private readonly int $status,
        private readonly string $body,
        private readonly array $headers,
    ) {
    }

    public static function html(int $status, string $body): self
    {
        return new self($status, $body, [
            'Content-Type' => 'text/html; charset=utf-8',
            'Content-Security-Policy' => self::POLICY,
            'Referrer-Policy' => 'same-origin',
            'X-Content-Type-Options' => 'nosniff',
            'Cache-Control' => 'no-store',
        ]);
    }

    /** @param array<string, mixed> $value */
    public static function json(array $value): self
    {
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;
        return new self(200, json_encode($value, $flags) . "\n", [
            'Content-Type' => 'application/json',
            'X-Content-Type-Options' => 'nosniff',
        ]);
    }

    /** 303, so that reloading the page that follows does not send the form again. */
    public static function redirect(string $target): self
    {
        return new self(303, '', ['Location' => $target]);
    }

    public function with(string $name, string $value): self
    {
        return new self($this->status, $this->body, [$name => $value] + $this->headers);
    }

    public function withCookie(?string $cookie): self
    {
        return $cookie === null ? $this : $this->with('Set-Cookie', $cookie);
    }

    public function send(): void
    {
        http_response_code($this->status);
        foreach ($this->headers as $name => $value) {
            header("$name: $value");
        }
        echo $this->body;
    }
}
