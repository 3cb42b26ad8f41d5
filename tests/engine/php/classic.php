<?php
// One action per request, chosen by ?a=; what test_php.py asks of classic mode.

function recurse(int $depth): int
{
    return recurse($depth + 1) + 1;
}

function upload(array $file): array
{
    return [
        'name' => $file['name'],
        'size' => $file['size'],
        'error' => $file['error'],
        'sha1' => $file['error'] ? null : sha1_file($file['tmp_name']),
        'directory' => dirname($file['tmp_name']),
        'path' => $file['tmp_name'],
    ];
}

switch ($_GET['a'] ?? '') {
    case 'server':
        echo json_encode($_SERVER);
        break;
    case 'input':
        echo json_encode([
            'get' => $_GET,
            'post' => $_POST,
            'cookie' => $_COOKIE,
            'files' => array_map('upload', $_FILES),
            'input' => sha1(file_get_contents('php://input')),
            'input_size' => strlen(file_get_contents('php://input')),
        ]);
        break;
    case 'exists':
        echo json_encode(file_exists($_GET['path']));
        break;
    case 'unread':
        echo 'did not look';
        break;
    case 'getenv':
        putenv('MADE_BY_SCRIPT=yes');
        putenv('GIVEN=changed');
        echo json_encode(array_map('getenv', ['REMOTE_ADDR', 'HTTP_ACCEPT', 'MADE_BY_SCRIPT',
            'GIVEN', 'HTTP_EVIL', 'NOT_SET']));
        break;
    case 'filter':
        $_SERVER['REQUEST_URI'] = 'changed by the script';
        echo json_encode([
            'has' => filter_has_var(INPUT_SERVER, 'REQUEST_METHOD'),
            'uri' => filter_input(INPUT_SERVER, 'REQUEST_URI'),
            'port' => filter_input(INPUT_SERVER, 'SERVER_PORT', FILTER_VALIDATE_INT),
            'agent' => filter_input(INPUT_SERVER, 'HTTP_USER_AGENT'),
            'agent_now' => $_SERVER['HTTP_USER_AGENT'] ?? null,
            'get' => filter_input(INPUT_GET, 'a'),
            'changed' => $_SERVER['REQUEST_URI'],
        ]);
        break;
    case 'status':
        header('Status: 404 Not Found');
        header('X-Empty:');
        echo 'gone';
        break;
    case 'status_line':
        header('HTTP/1.1 410 Gone');
        break;
    case 'not_modified':
        http_response_code(304);
        break;
    case 'location':
        header('Location: /elsewhere');
        break;
    case 'many_fields':
        for ($i = 0; $i < 130; $i++) {
            header("X-Field-$i: $i");
        }
        echo 'unseen';
        break;
    case 'exit':
        register_shutdown_function(static function () { echo ' shutdown'; });
        echo 'before';
        exit(' exit');
    case 'throw':
        echo 'partial';
        throw new LogicException('nobody catches this');
    case 'memory':
        $x = str_repeat('x', 1 << 30);
        break;
    case 'recursion':
        recurse(0);
        break;
    case 'busy':
        set_time_limit(1);
        while (true) {
        }
    case 'sleep':
        register_shutdown_function(static function () { echo 'shutdown ran'; });
        sleep(60);
        echo 'not reached';
        break;
    case 'flush':
        while (ob_get_level()) {
            ob_end_flush();
        }
        echo 'one';
        flush();
        echo 'two';
        flush();
        break;
    case 'many_echos':
        for ($i = 0; $i < 1000; $i++) {
            echo 'twelve bytes';
        }
        break;
    case 'finish':
        header('X-Before: yes');
        echo 'answer';
        $first = fastcgi_finish_request();
        echo 'unheard';
        flush();
        error_log('after the answer: ' . json_encode([$first, fastcgi_finish_request()]));
        break;
    case 'headers':
        header('X-One: 1');
        header('X-One: 2', false);
        echo json_encode(['request' => getallheaders(), 'response' => apache_response_headers(),
            'same' => getallheaders() === frankenphp_request_headers()]);
        break;
    case 'hints':
        header('Link: </style.css>; rel=preload; as=style');
        headers_send(103);
        header_remove('Link');
        header('X-Final: 1');
        echo 'final';
        break;
    case 'trailers':
        header('Trailer: X-Sum');
        echo 'text';
        $said = [askr_trailers(['X-Sum' => 4, 'Server-Timing' => 'db;dur=1.5'])];
        foreach ([['' => '1'], ['X Y' => '1'], ['X-A' => "1\r\nX-B: 2"], ['one'], ['X-A' => str_repeat('a', 4097)],
            array_fill_keys(array_map(fn (int $i): string => "x$i", range(0, 32)), 'v')] as $bad) {
            try {
                $said[] = askr_trailers($bad);
            } catch (ValueError $error) {
                $said[] = $error->getMessage();
            }
        }
        $said[] = askr_trailers([]);
        fastcgi_finish_request();
        $said[] = askr_trailers(['X-Late' => '1']);
        error_log('trailers: ' . json_encode($said));
        break;
    case 'large':
        for ($i = 0; $i < 10; $i++) {
            echo str_repeat(chr(ord('a') + $i), 1 << 20);
        }
        break;
    case 'abort':
        ignore_user_abort(isset($_GET['ignore']));
        register_shutdown_function(static function () {
            error_log('aborted: ' . json_encode(connection_aborted()));
        });
        for ($i = 0; $i < 100; $i++) {
            echo str_repeat('x', 10000);
        }
        error_log('reached the end');
        break;
    case 'where':
        echo json_encode(['cwd' => getcwd(), 'sapi' => PHP_SAPI, 'stderr' => defined('STDERR'),
            'extensions' => [extension_loaded('askr'), extension_loaded('frankenphp')],
            'levels' => [FRANKENPHP_LOG_LEVEL_DEBUG, FRANKENPHP_LOG_LEVEL_ERROR]]);
        break;
    case 'session':
        session_start();
        $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
        echo $_SESSION['count'];
        break;
    case 'state':
        static $calls = 0;
        $calls++;
        $GLOBALS['kept'] = ($GLOBALS['kept'] ?? 0) + 1;
        echo $calls, $GLOBALS['kept'];
        break;
    case 'handle_request':
        try {
            frankenphp_handle_request(static function () {});
        } catch (RuntimeException $e) {
            echo $e->getMessage();
        }
        break;
    case 'log':
        error_log("first line\nsecond line");
        frankenphp_log('structured', FRANKENPHP_LOG_LEVEL_WARN, ['user' => 7, 'path' => '/a']);
        break;
    case 'fork':
        $child = pcntl_fork();
        if ($child === 0) {
            echo 'from the copy';
            flush();
            exit(7);
        }
        pcntl_waitpid($child, $status);
        echo 'copy ended with ', pcntl_wexitstatus($status);
        break;
    case 'opcache':
        $status = opcache_get_status(true);
        $hits = $status['scripts'][__FILE__]['hits'] ?? null;
        echo json_encode(['on' => $status['opcache_enabled'], 'hits' => $hits,
            'random' => mt_rand()]);
        break;
    case 'response_code':
        http_response_code(204);
        break;
    case 'memory_usage':
        echo memory_get_usage();
        break;
    default:
        echo 'Hello';
}
