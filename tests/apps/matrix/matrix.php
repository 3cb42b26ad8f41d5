<?php

// SPDX-License-Identifier: MIT
// What a PHP application may do to a server, one action per path. Classic mode runs it from
// public/index.php, worker mode from public/worker.php: the tests expect the same answers of both.

declare(strict_types=1);

namespace Matrix;

require_once __DIR__ . '/dirt.php';
require_once __DIR__ . '/stuck.php';

/** How long an action waits for the test's sign before it gives up, in microseconds. */
const PATIENCE_US = 20_000_000;
const POLL_US = 1_000;
const BLOCK = '0123456789abcdef';

function json(mixed $value): void
{
    header('Content-Type: application/json');
    echo json_encode($value, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
}

/** Wait until the test makes the file; false when it never does. */
function wait_for(string $file): bool
{
    for ($waited = 0; $waited < PATIENCE_US; $waited += POLL_US) {
        clearstatcache();
        if (file_exists($file)) {
            return true;
        }
        usleep(POLL_US);
    }
    return false;
}

function globals(): void
{
    $names = ['REQUEST_METHOD', 'REQUEST_URI', 'QUERY_STRING', 'SCRIPT_NAME', 'SCRIPT_FILENAME',
        'PATH_INFO', 'PHP_SELF', 'DOCUMENT_ROOT', 'SERVER_PROTOCOL', 'SERVER_NAME', 'SERVER_PORT',
        'SERVER_SOFTWARE', 'GATEWAY_INTERFACE', 'REMOTE_ADDR', 'REMOTE_PORT', 'REMOTE_HOST', 'REMOTE_IDENT', 'AUTH_TYPE', 'REMOTE_USER', 'HTTP_HOST',
        'CONTENT_TYPE', 'CONTENT_LENGTH', 'HTTPS', 'REQUEST_SCHEME', 'HTTP_X_TEST', 'HTTP_PROXY', 'HTTP_X_UNDER_SCORE',
        'REQUEST_TIME', 'REQUEST_TIME_FLOAT', 'PHP_AUTH_USER', 'PHP_AUTH_PW', 'argv'];
    $server = array_intersect_key($_SERVER, array_flip($names));
    $server += array_filter($_SERVER, fn (string $name): bool => str_starts_with($name, 'SSL_'), ARRAY_FILTER_USE_KEY);
    json([
        'get' => $_GET,
        'post' => $_POST,
        'cookie' => $_COOKIE,
        'request' => $_REQUEST,
        'files' => $_FILES,
        'server' => $server,
        'http_proxy' => getenv('HTTP_PROXY'),
        'session' => isset($_SESSION),
    ]);
}

function input(): void
{
    $hash = hash_init('sha256');
    $size = 0;
    $stream = fopen('php://input', 'rb');
    while (!feof($stream)) {
        $part = (string) fread($stream, 65536);
        $size += strlen($part);
        hash_update($hash, $part);
    }
    json(['size' => $size, 'sha256' => hash_final($hash), 'again' => strlen(file_get_contents('php://input'))]);
}

function upload(): void
{
    $files = [];
    foreach ($_FILES as $field => $file) {
        $files[$field] = [
            'name' => $file['name'],
            'type' => $file['type'],
            'error' => $file['error'],
            'size' => $file['size'],
            'sha256' => $file['error'] === 0 ? hash_file('sha256', $file['tmp_name']) : null,
            'genuine' => is_uploaded_file($file['tmp_name']),
        ];
    }
    json(['files' => $files, 'post' => $_POST]);
}

function session(): void
{
    session_start();
    $_SESSION['user'] ??= $_GET['user'] ?? null;
    $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
    json(['user' => $_SESSION['user'], 'count' => $_SESSION['count'], 'id' => session_id()]);
    if (isset($_GET['exit'])) {
        exit;
    }
}

function finish(): void
{
    echo 'visible';
    fastcgi_finish_request();
    echo 'never seen';
    file_put_contents($_GET['file'], wait_for($_GET['go']) ? 'went on' : 'gave up');
}

function flush_to_wire(): void
{
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    echo "first\n";
    flush();
    echo wait_for($_GET['go']) ? "second\n" : "gave up\n";
}

function hold(): void
{
    touch($_GET['started']);
    echo wait_for($_GET['go']) ? 'held ' . getmypid() : 'gave up';
}

function stream_until_abort(): void
{
    ignore_user_abort(true);
    $block = str_repeat(BLOCK, 4096);
    for ($sent = 0; $sent < 1 << 30 && connection_aborted() === 0; $sent += strlen($block)) {
        echo $block;
        flush();
    }
    file_put_contents($_GET['file'], connection_aborted() === 1 ? 'aborted' : 'not aborted');
}

function large(): void
{
    $left = (int) $_GET['size'];
    $block = str_repeat(BLOCK, 512);
    for (; $left > 0; $left -= strlen($block)) {
        echo substr($block, 0, min($left, strlen($block)));
    }
}

function fiber(): void
{
    $fiber = new \Fiber(static function (string $word): void {
        echo $word;
        echo \Fiber::suspend('out');
    });
    $out = $fiber->start('in ');
    echo "$out ";
    $fiber->resume('back');
}

function early_hints(): void
{
    header('Link: </style.css>; rel=preload; as=style');
    headers_send(103);
    header_remove('Link');
    echo 'after the hint';
}

function buffers(): void
{
    ob_start(static fn (string $text): string => strtoupper($text));
    echo 'outer ';
    ob_start();
    echo 'inner';
    // Left open on purpose: the end of the request closes them.
}

function destructor_after_exit(): void
{
    $witness = new class () {
        public function __destruct()
        {
            echo ' destructed';
        }
    };
    register_shutdown_function(static function (): void {
        echo ' shut down';
    });
    echo 'before';
    exit(' after');
}

/** What worker mode keeps; classic mode starts anew. */
function leak(): void
{
    static $kept = [];
    $kept[] = str_repeat('x', (int) $_GET['size']);
    echo getmypid();
}

/** Everything that a careless request leaves behind; clean() must not see any of it. */
function dirty(): void
{
    ini_set('precision', '3');
    ini_set('memory_limit', '256M');
    putenv('MATRIX_LEAK=1');
    chdir('/');
    umask(0);
    set_error_handler(static fn (): bool => true);
    set_exception_handler(static fn () => print 'the wrong handler');
    register_shutdown_function(static fn () => print ' once');
    error_reporting(0);
    date_default_timezone_set('Europe/Stockholm');
    mb_internal_encoding('ISO-8859-1');
    stream_context_set_default(['http' => ['user_agent' => 'leak']]);
    header('X-Leak: 1');
    setcookie('leak', '1');
    http_response_code(418);
    ob_start();
    ob_start();
    echo 'dirty';
}

function clean(): void
{
    json([
        'precision' => ini_get('precision'),
        'memory_limit' => ini_get('memory_limit'),
        'env' => getenv('MATRIX_LEAK'),
        'cwd' => getcwd() === '/',
        'umask' => umask(),
        'error_handler' => set_error_handler(null),
        'exception_handler' => set_exception_handler(null),
        'error_reporting' => error_reporting(),
        'timezone' => date_default_timezone_get(),
        'encoding' => mb_internal_encoding(),
        'context' => stream_context_get_options(stream_context_get_default()),
        'headers' => headers_list(),
        'status' => http_response_code(),
    ]);
}

function set_cookies(): void
{
    setcookie('one', '1');
    setcookie('two', 'zwei drei', ['path' => '/', 'httponly' => true, 'samesite' => 'Lax']);
    header('X-Twice: a');
    header('X-Twice: b', false);
}

function opcache(): void
{
    $status = opcache_get_status(false);
    json(['enabled' => $status !== false && $status['opcache_enabled'], 'sapi' => PHP_SAPI]);
}

/** @return array<string, callable(): mixed> by path */
function actions(): array
{
    return stuck_actions() + dirt_actions() + [
        '/globals' => globals(...),
        '/headers' => static fn () => json(getallheaders()),
        '/input' => input(...),
        '/upload' => upload(...),
        '/session' => session(...),
        '/finish' => finish(...),
        '/flush' => flush_to_wire(...),
        '/hold' => hold(...),
        '/abort' => stream_until_abort(...),
        '/large' => large(...),
        '/fiber' => fiber(...),
        '/early-hints' => early_hints(...),
        '/buffers' => buffers(...),
        '/leak' => leak(...),
        '/exit' => destructor_after_exit(...),
        '/dirty' => dirty(...),
        '/clean' => clean(...),
        '/cookies' => set_cookies(...),
        '/opcache' => opcache(...),
        '/opcache-reset' => static fn () => json(opcache_reset()),
        '/mercure' => static fn () => mercure_publish('topic', 'data'),
        '/pid' => static fn () => print getmypid(),
        '/hello' => static fn () => print 'Hello, world!',
        '/no-content' => static fn () => http_response_code(204),
        '/teapot' => static fn () => http_response_code(418),
        '/status-field' => static fn () => header('Status: 404 Nowhere'),
        '/status-line' => static fn () => header('HTTP/1.1 299 Rather Fine'),
        '/redirect' => static fn () => header('Location: /elsewhere'),
        '/throw' => static fn () => throw new \LogicException('on purpose'),
        '/fatal' => static fn () => trigger_error('on purpose', E_USER_ERROR),
        '/memory' => static fn () => strlen(str_repeat('x', 1 << 31)),
        '/kill' => static fn () => posix_kill(getmypid(), 9),
        '/split-field' => static fn () => @header("X-Split: a\r\nX-Injected: b"),
        '/auth' => static fn () => json([$_SERVER['PHP_AUTH_USER'] ?? null, $_SERVER['PHP_AUTH_PW'] ?? null]),
        '/env' => static fn () => json([putenv('MATRIX_ENV=' . $_GET['v']), getenv('MATRIX_ENV')]),
    ];
}

function handle(): void
{
    $path = explode('?', $_SERVER['REQUEST_URI'], 2)[0];
    $action = actions()[$path] ?? null;
    if ($action === null) {
        http_response_code(404);
        echo "no action $path";
        return;
    }
    $action();
}
