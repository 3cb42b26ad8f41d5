<?php

// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Guestbook;

/**
 * Who is asking, known by a random cookie and nothing else.
 *
 * The cookie does two jobs: a form must repeat a token derived from it, which another site cannot
 * know (no session file, so any process can check it); and an entry remembers its writer's mark, so
 * that only the writer may delete it.
 */
final class Visitor
{
    private const COOKIE = 'guestbook';
    private const YEAR = 31536000;

    private function __construct(private readonly string $secret)
    {
    }

    public static function of(Request $request): self
    {
        $secret = $request->cookies[self::COOKIE] ?? '';
        $valid = preg_match('/^[0-9a-f]{64}$/D', $secret) === 1;
        return new self($valid ? $secret : bin2hex(random_bytes(32)));
    }

    public function sentThisForm(Request $request): bool
    {
        return hash_equals($this->token(), $request->form['token'] ?? '');
    }

    public function token(): string
    {
        return hash_hmac('sha256', 'form', $this->secret);
    }

    public function mark(): string
    {
        return hash_hmac('sha256', 'entry', $this->secret);
    }

    /** The Set-Cookie value for a browser that does not have this visitor's cookie yet. */
    public function newCookie(Request $request): ?string
    {
        if (($request->cookies[self::COOKIE] ?? '') === $this->secret) {
            return null;
        }
        $attributes = 'Path=/; Max-Age=' . self::YEAR . '; HttpOnly; SameSite=Strict';
        $secure = $request->secure ? '; Secure' : '';
        return self::COOKIE . '=' . $this->secret . '; ' . $attributes . $secure;
    }
}
