<?php

// SPDX-License-Identifier: MIT
// An application that is wrong in every way that worker mode punishes, one way a route. Some ways
// the server undoes after the request; most nobody can undo but the application.

declare(strict_types=1);

final class Cart
{
    public static ?string $owner = null;
    public static array $log = [];
    public static int $served = 0;
    private static string $language = 'en';

    public static function speak(): void
    {
        self::$language = substr($_SERVER['HTTP_ACCEPT_LANGUAGE'] ?? 'en', 0, 2);
    }
}

final class Service
{
    public ?Closure $make = null;
    public array $config = ['made' => 'at boot'];
}

function remember(): string
{
    static $cache = [];
    $cache['who'] = $_COOKIE['askr_check'] ?? 'nobody';
    return $cache['who'];
}

function database(): PDO
{
    static $pdo = null;
    return $pdo ??= new PDO('sqlite::memory:');
}

$service = new Service();
$greeting = null;

$ways = [
    '/clean' => static fn () => print $_SERVER['REQUEST_METHOD'],
    '/static' => static fn () => print remember() === '' ? '' : 'kept',
    '/class' => static function (): void {
        Cart::$owner = $_COOKIE['askr_check'] ?? null;
    },
    '/language' => Cart::speak(...),
    '/counter' => static fn () => print ++Cart::$served,
    '/global' => static function () use (&$greeting): void {
        $greeting = 'Hello ' . ($_COOKIE['askr_check'] ?? 'you');
    },
    '/object' => static function () use ($service): void {
        $service->config['user']['agent'] = $_SERVER['HTTP_USER_AGENT'] ?? '';
    },
    '/closure' => static function () use ($service): void {
        $who = $_COOKIE['askr_check'] ?? '';
        $service->make = static fn () => $who;
    },
    '/answer' => static function (): void {
        static $last = '';
        echo 'the last one was ', $last;
        $last = $_COOKIE['askr_check'] ?? '';
    },
    '/environment' => static function (): void {
        $_ENV['CUSTOMER'] = $_COOKIE['askr_check'] ?? '';
        putenv('CUSTOMER=' . ($_COOKIE['askr_check'] ?? ''));
    },
    '/session' => static function (): void {
        session_id('everybodyssessionid');
        session_start();
        echo 'before you came ', $_SESSION['who'] ?? 'nobody';
        $_SESSION['who'] = $_COOKIE['askr_check'] ?? '';
    },
    '/ini' => static fn () => ini_set('precision', '5'),
    '/locale' => static function (): void {
        setlocale(LC_ALL, 'C');
        date_default_timezone_set('Asia/Tokyo');
    },
    '/folder' => static function (): void {
        chdir('/');
        umask(0);
    },
    '/handler' => static function (): void {
        set_error_handler(static fn () => true);
        spl_autoload_register(static fn () => null);
    },
    '/buffer' => static function (): void {
        ob_start();
        echo 'still in it';
    },
    '/transaction' => static function (): void {
        database()->inTransaction() || database()->beginTransaction();
    },
    '/leak' => static function (): void {
        Cart::$log[] = random_bytes(2000);
    },
    '/objects' => static function (): void {
        static $list = null;
        $list ??= new SplObjectStorage();
        $list->attach(new ArrayObject());
    },
    '/fatal' => static fn () => trigger_error('broken', E_USER_ERROR),
];

$answer = static function () use ($ways): void {
    ($ways[strtok($_SERVER['REQUEST_URI'], '?')] ?? static fn () => http_response_code(404))();
};

while (frankenphp_handle_request($answer)) {
}
