<?php

// SPDX-License-Identifier: MIT
// Ways for a request to leave something behind in its process, and a look at all that could be left.

declare(strict_types=1);

namespace Matrix;

function dirt_session(): void
{
    session_start();
    $_SESSION = ['secret' => str_repeat('s', 100)];
    session_name('renamed');
}

function dirt_cookies(): void
{
    setcookie('secret', '1');
    header('X-Secret: 1');
    http_response_code(418);
    $_COOKIE['secret'] = $_GET['secret'] = $_POST['secret'] = $_REQUEST['secret'] = '1';
    $_FILES['secret'] = $_SERVER['SECRET'] = '1';
}

function dirt_env(): void
{
    putenv('SECRET=1');
    putenv('PATH=/nowhere');
    putenv('HOME');
}

function dirt_ini(): void
{
    ini_set('precision', '3');
    ini_set('memory_limit', '256M');
    ini_set('display_errors', '1');
    ini_set('default_charset', 'ISO-8859-1');
    ini_set('arg_separator.output', ';');
    error_reporting(0);
    set_time_limit(77);
}

function dirt_locale(): void
{
    setlocale(LC_ALL, 'C.UTF-8');
    date_default_timezone_set('Europe/Stockholm');
    mb_internal_encoding('ISO-8859-1');
    chdir('/');
    umask(0);
}

function dirt_handlers(): void
{
    restore_error_handler();
    set_error_handler(static fn (): bool => true);
    set_error_handler(static fn (): bool => true);
    set_exception_handler(static fn () => print 'not mine');
    @trigger_error('the last one');
}

function dirt_shutdown(): void
{
    $kept = str_repeat('k', 1000);
    register_shutdown_function(static fn () => print strlen($kept));
}

/** By design it stays in worker mode, and goes in classic mode. */
function dirt_statics(): void
{
    static $kept = null;
    Kept::$visitor = $kept ??= str_repeat('v', 1000);
}

final class Kept
{
    public static ?string $visitor = null;
}

function dirt_buffers(): void
{
    ob_start(static fn (string $text): string => strtoupper($text));
    ob_start();
    ob_implicit_flush();
    output_add_rewrite_var('secret', '1');
    echo '<a href="/x">left open</a>';
}

function dirt_streams(): void
{
    foreach (['php://temp', 'php://memory', 'php://input'] as $name) {
        $stream = fopen($name, 'rb+') ?: fopen($name, 'rb');
        fread($stream, 10);
        stream_context_set_default(['http' => ['user_agent' => 'secret']]);
    }
    $file = tmpfile();
    fwrite($file, str_repeat('t', 10_000));
    strtok('secret/rest', '/');
}

function dirt_exit(): never
{
    $witness = fopen('php://temp', 'rb+');
    ob_start();
    exit('gone');
}

function dirt_exception(): never
{
    ini_set('precision', '3');
    throw new \LogicException('nobody catches it', 7, new \RuntimeException('the cause'));
}

function dirt_fatal(): void
{
    putenv('SECRET=1');
    trigger_error('given up', E_USER_ERROR);
}

function dirt_memory(): void
{
    setlocale(LC_ALL, 'C.UTF-8');
    ini_set('memory_limit', '8M');
    for ($all = []; true;) {
        $all[] = str_repeat('x', 1 << 20);
    }
}

/** Done by public/worker.php once the client has its answer; in classic mode, while it waits. */
function dirt_afterwards(): void
{
    global $afterwards;
    $afterwards = static function (): void {
        dirt_env();
        dirt_ini();
        dirt_locale();
        dirt_handlers();
        dirt_shutdown();
        ini_set('session.use_cookies', '0');
        dirt_session();
    };
    if (!isset($_SERVER['FRANKENPHP_WORKER'])) {
        $afterwards();
    }
}

/** Everything that a request can find of one before it, as JSON. */
function look(): void
{
    global $afterwards;
    header_remove('X-Count');
    $error_handler = set_error_handler(null);
    $exception_handler = set_exception_handler(null);
    restore_error_handler();
    restore_exception_handler();
    $environment = getenv();
    ksort($environment);
    $own = ['REQUEST_TIME', 'REQUEST_TIME_FLOAT', 'REMOTE_PORT', 'HTTP_X_REQUEST_ID'];
    $server = array_diff_key($_SERVER, array_flip($own));
    json([
        'ini' => ini_get_all(null, false),
        'environment' => $environment,
        'server' => $server,
        'superglobals' => [$_GET, $_POST, $_COOKIE, $_REQUEST, $_FILES],
        'session' => [session_status(), session_id(), session_name(), isset($_SESSION)],
        'locale' => setlocale(LC_ALL, '0'),
        'zone' => date_default_timezone_get(),
        'encoding' => mb_internal_encoding(),
        'folder' => getcwd(),
        'umask' => umask(),
        'handlers' => [$error_handler !== null, $exception_handler !== null],
        'error' => error_get_last(),
        'buffers' => ob_get_level(),
        'headers' => headers_list(),
        'status' => http_response_code(),
        'many streams' => count(get_resources('stream')) > 5, // the script's own, and three or so
        'context' => stream_context_get_options(stream_context_get_default()),
        'token' => strtok('/'),
        'static' => isset($_SERVER['FRANKENPHP_WORKER']) ? null : Kept::$visitor,
        'afterwards' => $afterwards !== null,
    ]);
}

/** @return array<string, callable(): mixed> by path */
function dirt_actions(): array
{
    $found = ['/look' => look(...)];
    $names = ['session', 'cookies', 'env', 'ini', 'locale', 'handlers', 'shutdown', 'statics', 'buffers',
        'streams', 'exit', 'exception', 'fatal', 'memory', 'afterwards'];
    foreach ($names as $name) {
        $found["/dirt/$name"] = __NAMESPACE__ . "\\dirt_$name";
    }
    return $found;
}
