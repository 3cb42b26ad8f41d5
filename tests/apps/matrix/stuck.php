<?php

// SPDX-License-Identifier: MIT
// Ways for a request not to end, or to end badly. The lines that the slow log has to name carry a
// comment "here: NAME".

declare(strict_types=1);

namespace Matrix;

function stuck_loop(): void
{
    for ($i = 0, $text = ''; true; $i++) {
        $text = strrev("$i"); // here: loop
    }
}

function stuck_sleep(): void
{
    while (true) {
        sleep(60); // here: sleep
    }
}

function stuck_read(): void
{
    $socket = stream_socket_client('tcp://127.0.0.1:' . (int) $_GET['port']);
    stream_set_timeout($socket, 60);
    fread($socket, 1); // here: read
}

function stuck_exec(): void
{
    exec('sleep 60'); // here: exec
}

function stuck_flock(): void
{
    $file = fopen($_GET['file'], 'c');
    flock($file, LOCK_EX); // here: flock
    echo 'locked';
}

function stuck_regex(): void
{
    ini_set('pcre.jit', '0');
    ini_set('pcre.backtrack_limit', (string) PHP_INT_MAX);
    preg_match('/^(a+)+$/', str_repeat('a', 60) . 'b'); // here: regex
}

/** Recursion through an internal function: the C stack ends before the memory limit is met. */
function stuck_recursion(): array
{
    return array_map(stuck_recursion(...), [1]);
}

function stuck_memory(): void
{
    for ($all = []; true;) {
        $all[] = str_repeat('x', 1 << 20);
    }
}

/** @return array<string, callable(): mixed> by path */
function stuck_actions(): array
{
    return [
        '/stuck/loop' => stuck_loop(...),
        '/stuck/sleep' => stuck_sleep(...),
        '/stuck/read' => stuck_read(...),
        '/stuck/exec' => stuck_exec(...),
        '/stuck/flock' => stuck_flock(...),
        '/stuck/regex' => stuck_regex(...),
        '/stuck/recursion' => stuck_recursion(...),
        '/stuck/memory' => stuck_memory(...),
    ];
}
