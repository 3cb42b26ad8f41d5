<?php

// SPDX-License-Identifier: MIT
// The functions and constants that scripts find under askrctl, for editors and static analysis; this
// file is never loaded. Scripts written for php-fpm, Apache or FrankenPHP find theirs: an alias does
// what the function before it does.

/** Levels of frankenphp_log(). */
const FRANKENPHP_LOG_LEVEL_DEBUG = -4;
const FRANKENPHP_LOG_LEVEL_INFO = 0;
const FRANKENPHP_LOG_LEVEL_WARN = 4;
const FRANKENPHP_LOG_LEVEL_ERROR = 8;

/**
 * Worker mode: wait for a request, call `$callback` without arguments, and send the answer.
 *
 * Superglobals, ini settings, handlers, the session, the environment, locale, time zone and the
 * working directory are those of the request until the next call, and then those of the boot; globals
 * and statics stay. exit() and an uncaught exception end the request, not the script; a fatal error
 * runs the script again.
 *
 * @return bool false: the process is to be replaced or the server stops; end the script
 * @throws RuntimeException outside of worker mode, or within the callback
 */
function askr_handle_request(callable $callback): bool {}

/** Alias of askr_handle_request(). */
function frankenphp_handle_request(callable $callback): bool {}

/** Send the whole answer to the client now; the script goes on, and what it prints is dropped. */
function askr_finish_request(): bool {}

/** Alias of askr_finish_request(). */
function fastcgi_finish_request(): bool {}

/** Alias of askr_finish_request(). */
function frankenphp_finish_request(): bool {}

/**
 * Send the head now. A status from 100 to 199 makes an interim answer of the fields set so far, such
 * as 103 Early Hints; they stay for the final one unless they are removed.
 *
 * @throws ValueError when the status is not between 100 and 599
 */
function headers_send(int $status = 200): int {}

/**
 * Fields that are sent behind the body, for what is known only then: a Server-Timing, a checksum.
 * Once for a request, at any time before its answer ends; up to 32 fields, 4 KiB all together.
 *
 * Clients get them that say `TE: trailers`, by HTTP/2, and by HTTP/1.1 in an answer without a
 * Content-Length of the script's own that it has begun to send. Fields that a client must know
 * sooner, such as Content-Type, Cache-Control and Set-Cookie, are left out. Name the fields ahead by
 * header('Trailer: Server-Timing'), which clients may ask for.
 *
 * @param array<string, string|int|float> $fields names => values
 * @return bool false: the client wants none, there are some already, or the answer is over
 * @throws ValueError when a name or value is none, or there is too much
 */
function askr_trailers(array $fields): bool {}

/** @return array<string, string> the request's fields, names as "Accept-Language" */
function askr_request_headers(): array {}

/** Alias of askr_request_headers(). */
function getallheaders(): array {}

/** Alias of askr_request_headers(). */
function apache_request_headers(): array {}

/** Alias of askr_request_headers(). */
function frankenphp_request_headers(): array {}

/** @return array<string, string> the fields that were set for the answer so far */
function askr_response_headers(): array {}

/** Alias of askr_response_headers(). */
function apache_response_headers(): array {}

/** Alias of askr_response_headers(). */
function frankenphp_response_headers(): array {}

/**
 * A line in the server's log; `$context` follows as JSON.
 *
 * @param array<string, mixed> $context
 */
function askr_log(string $message, int $level = 0, array $context = []): void {}

/** Alias of askr_log(). */
function frankenphp_log(string $message, int $level = 0, array $context = []): void {}

/**
 * There is no Mercure hub here.
 *
 * @param string|list<string> $topics
 * @throws RuntimeException always
 */
function mercure_publish(
    string|array $topics,
    string $data = '',
    bool $private = false,
    ?string $id = null,
    ?string $type = null,
    ?int $retry = null,
): string {}
